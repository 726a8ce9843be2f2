//! The process that looks names up for the supervisor, and nothing else: what name servers answer
//! is parsed by the C library here, where there is nothing to be had.
//!
//! It has no capability and a user of its own, and opens no file but those of the resolver. Who
//! takes it over can say wrong addresses of the names that are asked for, as a name server can; the
//! supervisor takes those of an answer for no more than that. Read `run`, then `lookup`.

mod files;
mod line;
mod lookup;
pub mod run;
