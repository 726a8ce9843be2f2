//! What RFC 9113 and RFC 7541 have a server do with what a client sends, as tables: each row is a
//! connection to the real proxy on which raw frames say one thing.
//!
//! Rows have the section, what is said, and what is hoped for. Where `h2` says something else that
//! is no less strict, the row has that too (`said`); where a requirement is not kept, the row says
//! so (`broken`). Either fails when it changes.

mod row;
mod preface;
mod format;
mod hpack;
mod streams;
mod kinds;
mod windows;
mod messages;
mod fields;
mod answers;
