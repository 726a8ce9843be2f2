//! A file that an operator names, opened without waiting for whatever it is, and for whom it is to
//! be readable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::{Uid, User};

/// Opens a file for reading; also a pipe whose other end nobody has is opened at once.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path)
}

/// Returns who reads.
pub(super) fn reader() -> String {
    name_of(Uid::effective())
}

/// Returns the name of a user, or the number of one that has none.
pub(super) fn name_of(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("user id {uid}"), |user| user.name)
}
