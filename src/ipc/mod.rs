//! Where processes meet: typed messages over socketpairs that also pass descriptors, and the
//! control socket's words.

pub mod channel;
pub mod control;
pub mod lent;
pub mod log;
pub mod log_line;
pub mod message;
pub mod message_file;
pub mod resolving;
pub mod signing;
