//! Whether the files of the resolver are still those that this process may read.
//!
//! landlock knows files, not their names: one that another has taken the place of (as all who write
//! /etc/resolv.conf do) is out of reach, and the resolver would go on as if there was none. Another
//! process has it within reach again.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;

use crate::process::role::AllowedPath;

/// The files, and which of them could not be read from the beginning.
#[derive(Debug)]
pub(super) struct Files(Vec<File>);

#[derive(Debug)]
struct File {
    path: &'static str,
    was_denied: bool,
}

impl Files {
    /// Looks at them first; directories among them are never said to be replaced.
    pub(super) fn new(allowed_paths: &[AllowedPath]) -> Self {
        let paths = allowed_paths.iter().map(|allowed| allowed.path);
        let files = paths.map(|path| File {
            path,
            was_denied: is_denied(path),
        });
        Self(files.collect())
    }

    /// Returns one that was replaced.
    pub(super) fn replaced(&self) -> Option<&'static str> {
        let mut readable = self.0.iter().filter(|file| !file.was_denied);
        readable
            .find(|file| is_denied(file.path))
            .map(|file| file.path)
    }
}

fn is_denied(path: &str) -> bool {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let opened = options.open(path);
    opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::role::Access;

    #[test]
    fn what_is_there_and_what_is_not_was_not_replaced() {
        let access = Access::Read;
        let paths = ["/etc/hosts", "/no/such/file", "/usr/lib"];
        let files = Files::new(&paths.map(|path| AllowedPath { path, access }));
        assert_eq!(files.replaced(), None);
        let all: Vec<_> = files.0.iter().map(|file| file.was_denied).collect();
        assert_eq!(all, [false; 3], "nothing is denied without a fence");
    }
}
