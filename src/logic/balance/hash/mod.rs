//! The same backend for the same key: of a client's address, a path, a field or a cookie.
//!
//! Every node, and every version of this program, gives a key to the same backend: hashes have
//! fixed keys, and only the names of the backends and their weights count, not their order in the
//! file, nor their addresses. Read `key` (what is hashed, and how), then `table` (who gets a key,
//! and who gets it when that one cannot).

pub mod key;
pub mod table;

pub use key::{HashOn, Key};
pub use table::Table;
