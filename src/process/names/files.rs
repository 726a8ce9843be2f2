//! Whether the files of the resolver are still those that this process may read.
//!
//! landlock knows files, not their names: one that another has taken the place of (as all who write
//! /etc/resolv.conf do) is out of reach, and the resolver would go on as if there was none. Another
//! process has it within reach again. One that cannot be read from the beginning is for nobody
//! here, and no reason for another process, until another takes its place in turn.

use std::fs::{self, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::{Duration, SystemTime};

use crate::process::role::AllowedPath;

/// The files, and which of them could not be read from the beginning.
#[derive(Debug)]
pub(super) struct Files(Vec<File>);

#[derive(Debug)]
struct File {
    path: &'static str,
    /// What could not be read.
    denied: Option<Identity>,
}

/// Device and inode; `None` where nobody says.
type Identity = Option<(u64, u64)>;

impl Files {
    /// Looks at them first; directories among them are never said to be replaced.
    pub(super) fn new(allowed_paths: &[AllowedPath], now: SystemTime) -> Self {
        let paths = allowed_paths.iter().map(|allowed| allowed.path);
        let files = paths.map(|path| File {
            path,
            // One that is so new may have come after landlock was told of the one before.
            denied: denied(path).filter(|_| !is_fresh(path, now)),
        });
        Self(files.collect())
    }

    /// Returns one that was replaced.
    pub(super) fn replaced(&self) -> Option<&'static str> {
        let mut files = self.0.iter();
        files
            .find(|file| file.is_replaced(denied(file.path)))
            .map(|file| file.path)
    }
}

impl File {
    /// Returns whether it was, where this is what cannot be read now.
    fn is_replaced(&self, denied: Option<Identity>) -> bool {
        denied.is_some() && denied != self.denied
    }
}

/// Returns what is there, where it may not be read.
fn denied(path: &str) -> Option<Identity> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let file = fs::metadata(path).ok();
            Some(file.map(|file| (file.dev(), file.ino())))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Returns whether a file, or the link to it, has come or changed just now.
fn is_fresh(path: &str, now: SystemTime) -> bool {
    let is_fresh = |of: &Metadata| {
        let changed = u64::try_from(of.ctime()).map(Duration::from_secs);
        let changed_at = changed
            .ok()
            .and_then(|at| SystemTime::UNIX_EPOCH.checked_add(at));
        let age = changed_at.and_then(|at| now.duration_since(at).ok());
        age.is_some_and(|age| age < FRESH)
    };
    let looks = [fs::metadata(path), fs::symlink_metadata(path)];
    looks.iter().flatten().any(is_fresh)
}

/// A process looks again after as long at the earliest: no file is the reason for more than two.
const FRESH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::role::Access;

    #[test]
    fn what_is_there_and_what_is_not_was_not_replaced() {
        let access = Access::Read;
        let paths = ["/etc/hosts", "/no/such/file", "/usr/lib"];
        let allowed = paths.map(|path| AllowedPath { path, access });
        let files = Files::new(&allowed, SystemTime::now());
        assert_eq!(files.replaced(), None);
        let all: Vec<_> = files.0.iter().map(|file| file.denied).collect();
        assert_eq!(all, [None; 3], "nothing is denied without a fence");
    }

    /// A file of root's alone, or a directory, may have been in the place of the next good one.
    #[test]
    fn another_file_is_news_also_where_the_one_before_could_not_be_read() {
        let (one, other) = (Some(Some((1, 7))), Some(Some((1, 8))));
        for (before, now, is_news) in [
            (None, None, false),
            (None, one, true),
            (one, one, false),
            (one, other, true),
            (one, None, false),
            (one, Some(None), true),
        ] {
            let file = File {
                path: "/etc/resolv.conf",
                denied: before,
            };
            assert_eq!(file.is_replaced(now), is_news, "{before:?}, {now:?}");
        }
    }

    #[test]
    fn what_has_just_come_is_fresh_for_a_moment() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("resolv.conf");
        fs::write(&path, "").expect("a file");
        let path = path.to_str().expect("text");
        let changed = fs::metadata(path).expect("it is there").ctime();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(changed.unsigned_abs());
        assert!(is_fresh(path, at));
        assert!(!is_fresh(path, at + FRESH));
        assert!(!is_fresh(path, at - FRESH), "the clock was set");
        assert!(!is_fresh("/no/such/file", at));
    }
}
