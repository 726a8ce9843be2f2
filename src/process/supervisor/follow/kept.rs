//! The last good addresses of names, kept in the runtime directory over restarts of the daemon: one
//! that comes while the resolver is dead has backends. A reboot forgets them.
//!
//! The file is believed no more than an answer is: it is read up to a bound, and of its addresses
//! those are taken that a backend can have. See `kept_file` for how it is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hosts::merged;
use crate::ipc::resolving::Half;
use crate::process::supervisor::kept_file;

/// Where they are kept.
#[derive(Debug)]
pub(crate) struct KeptAddresses {
    path: PathBuf,
    file: Mutex<Known>,
}

/// What is known of the file.
#[derive(Debug, Default)]
struct Known {
    /// What was written last; `None` where it is not known what is there.
    written: Option<BTreeMap<String, Vec<IpAddr>>>,
    /// Why it could not be read, until it is said.
    unread: Option<io::Error>,
}

impl KeptAddresses {
    /// Returns those of a runtime directory.
    pub(crate) fn of(runtime_dir: &Path) -> Self {
        Self {
            path: runtime_dir.join(FILE),
            file: Mutex::default(),
        }
    }

    fn file(&self) -> MutexGuard<'_, Known> {
        // A thread that panicked here left it whole.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what a daemon before this one has kept, as far as it can be used. Why it cannot is
    /// said later, because a daemon that begins has no log yet.
    pub(super) fn load(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let all = kept_file::read(&self.path, FILE_BYTES_MAX).unwrap_or_else(|error| {
            self.file().unread = Some(error);
            BTreeMap::<String, Vec<IpAddr>>::new()
        });
        let usable = all.into_iter().filter_map(|(host, addresses)| {
            let (v4, v6) = addresses.into_iter().partition(IpAddr::is_ipv4);
            let (addresses, _) = merged([Half::Addresses(v4), Half::Addresses(v6)], &[]).ok()?;
            Some((host, addresses))
        });
        usable.collect()
    }

    /// Keeps these, where they are others and wanted: it is asked when nobody else can forget them
    /// meanwhile.
    pub(super) fn save_if(
        &self,
        is_wanted: impl FnOnce() -> bool,
        known: &BTreeMap<String, Vec<IpAddr>>,
    ) {
        let mut file = self.file();
        if !is_wanted() {
            return;
        }
        let path = self.path.display();
        if let Some(error) = file.unread.take() {
            tracing::warn!(%path, %error, "addresses of names that were kept are lost");
        }
        if file.written.as_ref() == Some(known) {
            return;
        }
        if let Err(error) = kept_file::write(&self.path, &kept_of(known)) {
            tracing::warn!(%path, %error, "addresses of names are not kept");
        }
        // What cannot be written is tried again when there is something else to write.
        file.written = Some(known.clone());
    }

    /// Forgets them.
    pub(super) fn forget(&self) {
        let mut file = self.file();
        file.written = None;
        // One that stays is of names that no configuration has.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns as much of what is known as is kept.
fn kept_of(known: &BTreeMap<String, Vec<IpAddr>>) -> BTreeMap<&String, &[IpAddr]> {
    let few = |addresses: &[IpAddr]| addresses.len().min(ADDRESSES_KEPT_MAX);
    let all = known.iter();
    all.map(|(host, addresses)| (host, &addresses[..few(addresses)]))
        .collect()
}

const FILE: &str = "names.json";
/// Of a name; fewer of them can be used.
const ADDRESSES_KEPT_MAX: usize = 256;
/// All that the longest configuration can have.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn known(host: &str, addresses: &[&str]) -> BTreeMap<String, Vec<IpAddr>> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        BTreeMap::from([(host.to_owned(), addresses.collect())])
    }

    #[test]
    fn what_was_kept_is_there_again_and_nothing_that_no_backend_can_have() {
        let directory = tempfile::tempdir().unwrap();
        let kept = KeptAddresses::of(directory.path());
        assert_eq!(kept.load(), BTreeMap::new(), "there is no file yet");
        let all = known("web.example", &["192.0.2.1", "2001:db8::1"]);
        kept.save_if(|| true, &all);
        let file = directory.path().join(FILE);
        let was = fs::metadata(&file).unwrap().modified().unwrap();
        kept.save_if(|| true, &all);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), was);
        assert_eq!(KeptAddresses::of(directory.path()).load(), all);
        let text = "{\"web.example\": [\"224.0.0.1\", \"192.0.2.7\", \"0.0.0.0\"], \
                    \"lies.example\": [\"::\", \"255.255.255.255\"], \"none.example\": []}";
        fs::write(&file, text).unwrap();
        assert_eq!(kept.load(), known("web.example", &["192.0.2.7"]));
        kept.forget();
        assert!(!file.exists());
        kept.save_if(|| true, &all);
        assert!(file.exists(), "it is written anew");
    }

    #[test]
    fn what_is_no_file_of_a_daemon_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let kept = KeptAddresses::of(directory.path());
        for text in ["", "[]", "{\"web.example\": [\"x\"]}", "{\"web.example\""] {
            fs::write(&file, text).unwrap();
            assert_eq!(kept.load(), BTreeMap::new(), "{text}");
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(kept.load(), BTreeMap::new(), "it waits for nobody");
        fs::remove_file(&file).unwrap();
        let target = directory.path().join("target");
        fs::write(&target, "{\"web.example\": [\"192.0.2.1\"]}").unwrap();
        symlink(&target, &file).unwrap();
        assert_eq!(kept.load(), BTreeMap::new(), "no link is followed");
    }

    #[test]
    fn what_lies_where_the_file_is_written_is_not_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let fresh = directory.path().join("names.new");
        let target = directory.path().join("target");
        fs::write(&target, "").unwrap();
        let kept = KeptAddresses::of(directory.path());
        symlink(&target, &fresh).unwrap();
        let one = known("web.example", &["192.0.2.1"]);
        kept.save_if(|| true, &one);
        assert_eq!(kept.load(), one);
        assert_eq!(
            fs::read_to_string(&target).unwrap(),
            "",
            "no link is followed"
        );
        nix::unistd::mkfifo(&fresh, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let two = known("web.example", &["192.0.2.2"]);
        kept.save_if(|| true, &two);
        assert_eq!(kept.load(), two, "it waits for nobody who reads");
    }
}
