//! What runs the cases: a real proxy, and a client and a backend of raw bytes driven by one thread.
//!
//! `case` says what is sent and what is hoped, `hope` compares, `parties` are the two ends, `drive`
//! plays one case one way, `ways` plays every case every way. `unread` asks the kernel whether the
//! proxy has read what it was sent: so a split is a split, without sleeping.

pub(crate) mod case;
pub(crate) mod hope;
pub(crate) mod parties;
pub(crate) mod unread;
pub(crate) mod drive;
pub(crate) mod ways;
