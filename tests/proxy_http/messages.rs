//! What is relayed of a message, what is refused, and how it ends.

mod buffered;
mod elsewhere;
mod endings;
mod leaving;
mod fields;
mod piped;
mod refusals;
mod relaying;
mod upgrades;
