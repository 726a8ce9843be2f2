//! landlock(7): what a process can still reach of the file system, of TCP ports and of other
//! processes.
//!
//! All that the running kernel can deny is denied, but for the allowed_paths of the row. What it
//! cannot deny yet is said. Metadata (chmod, chown) and path names of sockets are beyond landlock;
//! `calls` denies the calls instead.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// A file, or a directory with all beneath it, that stays within reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedPath {
    /// Where; it need not exist.
    pub path: &'static str,
    /// For what.
    pub access: Access,
}

/// What a place may be opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Files: reading.
    Read,
    /// Files: reading and writing.
    ReadAndWrite,
}

/// What of TCP is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// Binding ports. Listening sockets come from the supervisor.
    Binding,
    /// Binding and connecting.
    Everything,
}

/// What the landlock of a kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Abi(i64);

impl Abi {
    /// Returns that of the running kernel.
    pub(super) fn of_this_kernel() -> io::Result<Self> {
        // SAFETY: with the version flag the call reads no memory; the result is a number.
        let abi = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<RulesetAttr>(),
                0_usize,
                CREATE_RULESET_VERSION,
            )
        };
        if abi < 1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(abi))
    }

    /// Returns what this kernel leaves open that newer ones close, for people.
    pub(super) fn lacks(self) -> Vec<&'static str> {
        FEATURES
            .iter()
            .filter(|feature| self.0 < feature.since)
            .map(|feature| feature.denies)
            .collect()
    }

    fn ruleset(self, tcp: Tcp) -> RulesetAttr {
        let mut attr = RulesetAttr {
            handled_access_fs: BASE,
            handled_access_net: 0,
            scoped: 0,
        };
        let known = FEATURES.iter().filter(|feature| self.0 >= feature.since);
        for feature in known {
            attr.handled_access_fs |= feature.fs;
            attr.handled_access_net |= feature.net;
            attr.scoped |= feature.scoped;
        }
        if tcp == Tcp::Binding {
            attr.handled_access_net &= !CONNECT_TCP;
        }
        attr
    }
}

/// Denies this process, for good, all that the kernel can deny but `allowed_paths`.
///
/// Returns what it cannot deny, for people. Must be called before any thread is started.
pub(super) fn restrict(allowed_paths: &[AllowedPath], tcp: Tcp) -> io::Result<Vec<&'static str>> {
    let abi = Abi::of_this_kernel()?;
    let attr = abi.ruleset(tcp);
    // An older kernel refuses a structure with something in it that it does not know, not one that
    // is longer.
    let ruleset = create(&attr)?;
    for place in allowed_paths {
        allow(&ruleset, *place, attr.handled_access_fs)?;
    }
    // SAFETY: the call takes a descriptor and flags, and touches no memory of ours.
    let done =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(abi.lacks())
    }
}

fn create(attr: &RulesetAttr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is a structure of the kernel's layout and of the given size that outlives the
    // call.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(attr),
            size_of::<RulesetAttr>(),
            0_u32,
        )
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    let raw = i32::try_from(raw).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn allow(ruleset: &OwnedFd, place: AllowedPath, handled: u64) -> io::Result<()> {
    let at = match open(place.path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(at) => at,
        // A kernel without IPv6 has none of its settings; what cannot be got at needs no rule.
        Err(Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let access = match place.access {
        Access::Read => READ_FILE,
        Access::ReadAndWrite => READ_FILE | WRITE_FILE | TRUNCATE,
    };
    let attr = PathBeneathAttr {
        allowed_access: access & handled,
        parent_fd: at.as_raw_fd(),
    };
    // SAFETY: `attr` is a structure of the kernel's layout that outlives the call; both descriptors
    // are open.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const attr,
            0_u32,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // It stays open for the life of the process: a rule belongs to an inode, and /proc forgets
    // those that nobody holds and makes others for the same path.
    let _ = at.into_raw_fd();
    Ok(())
}

/// `struct landlock_ruleset_attr` of linux/landlock.h.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr` of linux/landlock.h.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// What came with a later version of the interface.
struct Feature {
    since: i64,
    fs: u64,
    net: u64,
    scoped: u64,
    denies: &'static str,
}

/// In the order of their versions. Without REFER, renaming between directories is always denied; it
/// is handled so that it still is.
const FEATURES: &[Feature] = &[
    Feature {
        since: 3,
        fs: REFER | TRUNCATE,
        net: 0,
        scoped: 0,
        denies: "truncating files (Linux 6.2)",
    },
    Feature {
        since: 4,
        fs: 0,
        net: BIND_TCP | CONNECT_TCP,
        scoped: 0,
        denies: "TCP ports (Linux 6.7)",
    },
    Feature {
        since: 5,
        fs: IOCTL_DEV,
        net: 0,
        scoped: 0,
        denies: "ioctl on devices (Linux 6.10)",
    },
    Feature {
        since: 6,
        fs: 0,
        net: 0,
        scoped: SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
        denies: "signals and abstract sockets (Linux 6.12)",
    },
];

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
/// Bits 0 to 12: executing, reading and writing files, reading directories, removing and making
/// every kind of file.
const BASE: u64 = 0x1fff;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 1 << 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernel_denies_what_it_can_and_the_rest_is_said() {
        let of = |abi| {
            let attr = Abi(abi).ruleset(Tcp::Everything);
            (attr.handled_access_fs, attr.handled_access_net, attr.scoped)
        };
        let table = [1, 2, 3, 4, 5, 6, 7].map(|abi| (abi, of(abi), Abi(abi).lacks().len()));
        assert_eq!(
            table,
            [
                (1, (0x1fff, 0, 0), 4),
                (2, (0x1fff, 0, 0), 4),
                (3, (0x7fff, 0, 0), 3),
                (4, (0x7fff, 3, 0), 2),
                (5, (0xffff, 3, 0), 1),
                (6, (0xffff, 3, 3), 0),
                (7, (0xffff, 3, 3), 0),
            ]
        );
        assert_eq!(Abi(6).ruleset(Tcp::Binding).handled_access_net, BIND_TCP);
    }
}
