//! What a route changes of a message: its path, its fields, and the texts that it writes into them.
//!
//! `path` is what routes are matched against, and what backends are sent; `template` is a text with
//! placeholders; `edit` sets, adds and removes fields of a head that is written already;
//! `elsewhere` is what a backend says that has the answer be fetched from another. Pure.

pub mod edit;
pub mod elsewhere;
pub mod path;
pub mod template;
