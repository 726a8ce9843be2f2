//! Errors in the sections for operators.

mod access_log;
mod admin;
