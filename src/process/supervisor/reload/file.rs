//! A file that an operator names, opened without waiting for whatever it is, and for whom it is to
//! be readable.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

/// Opens a file for reading; also a pipe whose other end nobody has is opened at once.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path)
}

/// Returns who reads.
pub(crate) fn reader() -> String {
    name_of(Uid::effective())
}

/// Returns the name of a user, or the number of one that has none.
fn name_of(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("user id {uid}"), |user| user.name)
}

/// Says whose a file is and who may read it, as far as that can be seen.
pub(crate) fn owner_of(path: &Path) -> String {
    let Ok(metadata) = fs::metadata(path) else {
        return String::new();
    };
    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    let group = Group::from_gid(gid).ok().flatten();
    let group = group.map_or_else(|| gid.to_string(), |group| group.name);
    let mode = metadata.permissions().mode() & 0o7777;
    let user = name_of(uid);
    format!(" (it belongs to {user} and group {group}, mode {mode:04o})")
}
