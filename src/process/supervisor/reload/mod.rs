//! What a change of the configuration needs besides the loop: the text of the file, read and
//! checked where a disk may be slow (`source`), with the pages that it names (`pages`), and what
//! operators have changed by command, over the restarts of the daemon (`commanded`).
//!
//! The loop's part, prepare and commit, is `daemon::reload`.

pub(super) mod file;
pub(super) mod source;
pub(super) mod pages;
pub(super) mod prepared;
pub(super) mod renewal;
pub(super) mod commanded;
pub(super) mod running;
pub(super) mod next;
pub(super) mod stages;
