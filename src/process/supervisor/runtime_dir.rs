//! What a daemon must have for itself: its runtime directory, made for this user alone, trusted
//! only where nobody else could have prepared it, and locked; and the virtual routers of its
//! network.
//!
//! Whoever may write there could put another program's file in the place of the lock or the control
//! socket; whoever may open the lock could hold it. A service manager's directory (mode 0750, own
//! user) is as good as one made here.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Uid;

use super::error::SupervisorError;

/// Makes the directory where there is none and takes its lock, which dies with this process.
pub(super) fn lock(directory: &Path) -> Result<Flock<File>, SupervisorError> {
    let failed = |source| SupervisorError::RuntimeDir {
        path: directory.to_owned(),
        source,
    };
    if let Some(parent) = directory.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    check(directory)?;
    let file = open_lock(&directory.join(LOCK)).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| SupervisorError::AlreadyRunning(directory.to_owned()))
}

/// The lock of a network.
pub(super) type NetworkLock = UnixListener;

/// Takes the lock of the network that this process is in: of two daemons with virtual routers each
/// would take what it does not know for leftovers of a former run. `None` where a user who may not
/// run such a daemon has the name of the lock.
///
/// The lock is an abstract socket: every network namespace has its own, and it dies with us. One
/// that is held is tried again for a second: whoever cleans up has it for a moment.
///
/// # Errors
/// When another daemon has it, or the kernel refuses the socket.
pub fn lock_network() -> Result<Option<NetworkLock>, SupervisorError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match try_lock_network() {
            Err(SupervisorError::AnotherHere(_)) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// As [`lock_network`], at once.
pub(super) fn try_lock_network() -> Result<Option<NetworkLock>, SupervisorError> {
    lock_name(NETWORK_LOCK)
}

fn lock_name(name: &[u8]) -> Result<Option<NetworkLock>, SupervisorError> {
    let failed = |source| SupervisorError::System {
        what: "take the lock of this network",
        source,
    };
    let address = SocketAddr::from_abstract_name(name).map_err(failed)?;
    match UnixListener::bind_addr(&address) {
        Ok(lock) => return Ok(Some(lock)),
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(failed(error)),
        Err(_) => {}
    }
    // The credentials are those of whoever listens.
    let holder = UnixStream::connect_addr(&address)
        .ok()
        .and_then(|stream| getsockopt(&stream, sockopt::PeerCredentials).ok());
    match holder {
        Some(holder) if holder.uid() != 0 && holder.uid() != Uid::effective().as_raw() => {
            tracing::warn!(
                user = holder.uid(),
                "somebody who may not run a daemon holds the lock of this network; going on \
                 without it"
            );
            Ok(None)
        }
        Some(holder) => Err(SupervisorError::AnotherHere(Some(holder.pid()))),
        None => Err(SupervisorError::AnotherHere(None)),
    }
}

/// Refuses a directory that somebody else owns or may write to.
fn check(directory: &Path) -> Result<(), SupervisorError> {
    let shown = directory.display();
    let strange = |why: String, help: String| SupervisorError::StrangeDir {
        path: directory.to_owned(),
        why,
        help,
    };
    let metadata = directory.symlink_metadata();
    let metadata = metadata.map_err(|source| SupervisorError::RuntimeDir {
        path: directory.to_owned(),
        source,
    })?;
    let another = "name another with --runtime-dir".to_owned();
    if metadata.is_symlink() {
        return Err(strange("it is a symbolic link".into(), another));
    }
    if !metadata.is_dir() {
        return Err(strange("it is not a directory".into(), another));
    }
    let (owner, own) = (metadata.uid(), Uid::effective().as_raw());
    if owner != own && owner != 0 {
        let why = format!("it belongs to user id {owner}");
        let help = format!("`chown {own} {shown}`, or {another}");
        return Err(strange(why, help));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let why = format!(
            "others may write to it (mode {:04o})",
            metadata.mode() & 0o7777
        );
        let help = format!("`chmod go-w {shown}`, or {another}");
        return Err(strange(why, help));
    }
    Ok(())
}

/// Opens the lock for this user alone, never by way of a link, and never emptying anything.
fn open_lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(LOCK_MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("its lock is not a file"));
    }
    if metadata.mode() & !LOCK_MODE & 0o7777 != 0 {
        // Of a version that let everybody open it.
        file.set_permissions(Permissions::from_mode(LOCK_MODE))?;
    }
    Ok(file)
}

const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const NETWORK_LOCK: &[u8] = b"evenkeel";
const LOCK: &str = "lock";
const DIRECTORY_MODE: u32 = 0o700;
const LOCK_MODE: u32 = 0o600;
/// Group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn directory_and_lock_are_for_their_user_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("deep/run");
        let _lock = lock(&directory).unwrap();
        assert_eq!(mode_of(&directory), 0o700);
        assert_eq!(mode_of(&directory.join(LOCK)), 0o600);
        assert!(matches!(
            lock(&directory),
            Err(SupervisorError::AlreadyRunning(_))
        ));
    }

    #[test]
    fn network_has_one_daemon_with_virtual_routers_at_a_time() {
        let name = format!("evenkeel-test-{}", std::process::id());
        let lock = || lock_name(name.as_bytes());
        let first = lock().unwrap();
        let refused = lock().unwrap_err().to_string();
        let own = std::process::id().to_string();
        assert!(refused.contains(&own), "the other one is named: {refused}");
        assert!(refused.contains("help: "), "with a hint: {refused}");
        drop(first);
        assert!(lock().unwrap().is_some(), "it dies with its holder");
    }

    #[test]
    fn directory_of_a_service_manager_is_taken_and_an_old_lock_is_closed_to_others() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("run");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o750)).unwrap();
        fs::write(directory.join(LOCK), "").unwrap();
        fs::set_permissions(directory.join(LOCK), Permissions::from_mode(0o644)).unwrap();
        let _lock = lock(&directory).unwrap();
        assert_eq!(mode_of(&directory), 0o750, "it stays as it was");
        assert_eq!(mode_of(&directory.join(LOCK)), 0o600);
    }

    #[test]
    fn link_in_the_place_of_the_lock_is_refused_and_its_target_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("run");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        let target = scratch.path().join("target");
        fs::write(&target, "precious").unwrap();
        symlink(&target, directory.join(LOCK)).unwrap();
        assert!(matches!(
            lock(&directory),
            Err(SupervisorError::RuntimeDir { .. })
        ));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn directory_that_others_could_have_prepared_is_refused_with_a_hint() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("run");
        fs::create_dir(&directory).unwrap();
        for mode in [0o777, 0o1777, 0o770] {
            fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
            let refused = lock(&directory).unwrap_err().to_string();
            let hint = format!("help: `chmod go-w {}`", directory.display());
            assert!(refused.contains("others may write to it"), "{refused}");
            assert!(refused.contains(&hint), "{refused}");
        }
        let link = scratch.path().join("link");
        symlink(&directory, &link).unwrap();
        let refused = lock(&link).unwrap_err().to_string();
        assert!(refused.contains("it is a symbolic link"), "{refused}");
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = lock(&file).unwrap_err().to_string();
        assert!(refused.contains("it is not a directory"), "{refused}");
    }
}
