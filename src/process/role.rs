//! The processes of the daemon and what each may do: user, capabilities, sandbox, as one table.
//!
//! A child is this same program, started again under the name of its role with its channel as standard input.
//! The first thing it does, before any thread exists (capabilities belong to threads), is [`confine`].
//! `netns-tests/privileges.rs` reads the result off the running processes.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};

/// A process of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The parent: children, listening sockets, control socket.
    Supervisor,
    /// The virtual routers.
    Vrrp,
    /// The HTTP proxy.
    Proxy,
}

/// What a process may do.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name in `ps`.
    pub name: &'static str,
    /// What it keeps of the capabilities it was started with; `None`: all of them, to pass on.
    pub capabilities: Option<&'static [Capability]>,
    /// Under whose name it works and how it is fenced in.
    pub sandbox: Sandbox,
}

/// How a process is fenced in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// As it was started.
    None,
    /// A user of its own where that is possible, no new privileges, no signals to others, no writing of files.
    Stranger,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Supervisor, Self::Vrrp, Self::Proxy];

    /// Returns the row of the table.
    pub const fn profile(self) -> Profile {
        match self {
            Self::Supervisor => Profile {
                name: "evenkeel",
                capabilities: None,
                sandbox: Sandbox::None,
            },
            Self::Vrrp => Profile {
                name: "evenkeel-vrrp",
                capabilities: Some(&[
                    Capability::CAP_NET_ADMIN,
                    Capability::CAP_NET_RAW,
                    Capability::CAP_SYS_NICE,
                    Capability::CAP_IPC_LOCK,
                ]),
                sandbox: Sandbox::None,
            },
            Self::Proxy => Profile {
                name: "evenkeel-proxy",
                capabilities: Some(&[]),
                sandbox: Sandbox::Stranger,
            },
        }
    }

    /// Returns the child's role that the first argument of the program names, if it names one.
    pub fn from_program_name(name: &str) -> Option<Self> {
        [Self::Vrrp, Self::Proxy]
            .into_iter()
            .find(|role| role.profile().name == name)
    }

    /// Returns the command that starts this program again in this role, with `channel` as its standard input.
    pub fn command(self, channel: OwnedFd) -> Command {
        let mut command = Command::new("/proc/self/exe");
        // A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops the others in order.
        command
            .arg0(self.profile().name)
            .stdin(Stdio::from(channel))
            .stdout(Stdio::null())
            .process_group(0);
        command
    }
}

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A capability set was refused.
    #[error("capability set {set}: {source}")]
    Capabilities {
        /// Which set.
        set: &'static str,
        /// What the kernel said.
        source: caps::errors::CapsError,
    },
    /// A system call was refused.
    #[error("{call}: {source}")]
    System {
        /// Which call.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Takes from this process all that its role does not need. Must be called before any thread is started.
///
/// Returns what could not be done and is not vital, as lines for the log.
pub fn confine(role: Role) -> Result<Vec<String>, ConfineError> {
    let profile = role.profile();
    let mut shortcomings = Vec::new();
    if let Ok(name) = CString::new(profile.name) {
        prctl::set_name(&name).map_err(system("PR_SET_NAME"))?;
    }
    if role != Role::Supervisor {
        ignore_operators()?;
    }
    let fenced = profile.sandbox == Sandbox::Stranger;
    if let Some(capabilities) = profile.capabilities {
        // Before the user changes, because the change takes the right to do it.
        bound(capabilities)?;
    }
    if fenced && let Err(reason) = become_stranger() {
        shortcomings.push(format!("the process keeps its user id: {reason}"));
    }
    if let Some(capabilities) = profile.capabilities {
        keep(capabilities)?;
    }
    if fenced {
        prctl::set_no_new_privs().map_err(system("PR_SET_NO_NEW_PRIVS"))?;
        if let Err(error) = landlock::forbid_signals_and_files() {
            shortcomings.push(format!("landlock: {error}"));
        }
    }
    Ok(shortcomings)
}

/// Makes a child deaf to the signals by which operators tell the supervisor something: `systemctl kill` and `killall`
/// send them to every process of the daemon.
fn ignore_operators() -> Result<(), ConfineError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGHUP);
    signals.add(Signal::SIGUSR1);
    signals.thread_block().map_err(system("pthread_sigmask"))
}

/// Gives up a capability that was only needed at the start; a capability that is not held is no error.
pub fn relinquish(capability: Capability) -> Result<(), ConfineError> {
    for (set, name) in [
        (CapSet::Effective, "effective"),
        (CapSet::Permitted, "permitted"),
        (CapSet::Inheritable, "inheritable"),
    ] {
        caps::drop(None, set, capability)
            .map_err(|source| ConfineError::Capabilities { set: name, source })?;
    }
    Ok(())
}

/// Takes all but `wanted` from what any later exec could give, where this process has the right to.
fn bound(wanted: &[Capability]) -> Result<(), ConfineError> {
    let refused = |source| ConfineError::Capabilities {
        set: "bounding",
        source,
    };
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(refused)? {
        return Ok(());
    }
    for capability in caps::runtime::thread_all_supported() {
        if !wanted.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability).map_err(refused)?;
        }
    }
    Ok(())
}

/// Keeps of the capabilities of this thread those in `wanted` that it has.
fn keep(wanted: &[Capability]) -> Result<(), ConfineError> {
    let refused = |set| move |source| ConfineError::Capabilities { set, source };
    let held = caps::read(None, CapSet::Permitted).map_err(refused("permitted"))?;
    let kept: CapsHashSet = wanted
        .iter()
        .copied()
        .filter(|c| held.contains(c))
        .collect();
    caps::clear(None, CapSet::Ambient).map_err(refused("ambient"))?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(refused("inheritable"))?;
    caps::set(None, CapSet::Effective, &kept).map_err(refused("effective"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(refused("permitted"))?;
    Ok(())
}

/// Becomes a user that owns nothing, or says why not.
fn become_stranger() -> Result<(), String> {
    let user =
        stranger().ok_or_else(|| format!("none of the users {} exists", STRANGERS.join(", ")))?;
    if user.uid == Uid::effective() {
        return Err(format!("it was started as {}", user.name));
    }
    let refused = |call: &'static str| {
        let name = user.name.clone();
        move |errno: nix::errno::Errno| format!("{call} to {name}: {errno}")
    };
    setgroups(&[]).map_err(refused("setgroups"))?;
    set_ids(user.gid, user.uid).map_err(refused("setresuid"))
}

fn set_ids(gid: Gid, uid: Uid) -> nix::Result<()> {
    let was = (Gid::current(), Gid::effective());
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid).inspect_err(|_| {
        // Half a change would be neither user; going back can only fail where going was already refused.
        let _ = setresgid(was.0, was.1, was.0);
    })
}

/// Makes a program that operators bring run as a user that owns nothing, without a capability and any way to one.
///
/// Where this process may not change its user, the program runs as the same user.
pub fn run_as_stranger(command: &mut Command) {
    let may_change = [Capability::CAP_SETUID, Capability::CAP_SETGID]
        .into_iter()
        .all(|right| caps::has_cap(None, CapSet::Effective, right).unwrap_or(false))
        && std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "allow");
    let user = may_change
        .then(stranger)
        .flatten()
        .map(|user| (user.gid.as_raw(), user.uid.as_raw()));
    let become_it = move || {
        let checked = |result: libc::c_int| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        if let Some((gid, uid)) = user {
            // SAFETY: an empty list is not read; the others take numbers.
            checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
            // SAFETY: numbers only.
            checked(unsafe { libc::setresgid(gid, gid, gid) })?;
            // SAFETY: numbers only.
            checked(unsafe { libc::setresuid(uid, uid, uid) })?;
        }
        let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL;
        // SAFETY: numbers only.
        checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) })?;
        // SAFETY: numbers only.
        checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
    };
    // SAFETY: between fork and exec the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(become_it) };
}

/// Returns a user that owns nothing.
fn stranger() -> Option<User> {
    STRANGERS
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
}

/// Returns the channel that the supervisor gave this child as its standard input.
pub fn inherited_channel() -> io::Result<OwnedFd> {
    use nix::sys::socket::{SockType, getsockopt, sockopt::SockType as KindOfSocket};
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    match getsockopt(&fd, KindOfSocket) {
        Ok(SockType::SeqPacket) => Ok(fd),
        Ok(_) | Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this program is started by the supervisor; use `evenkeel run`",
        )),
    }
}

fn system(call: &'static str) -> impl Fn(nix::errno::Errno) -> ConfineError {
    move |errno| ConfineError::System {
        call,
        source: errno.into(),
    }
}

mod landlock {
    //! The two calls of landlock(7) that a process without rules needs: nothing beneath is allowed again.

    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// `struct landlock_ruleset_attr` of linux/landlock.h.
    #[repr(C)]
    struct RulesetAttr {
        handled_access_fs: u64,
        handled_access_net: u64,
        scoped: u64,
    }

    /// Denies this process, for good, signals and abstract sockets to processes outside, executing and writing.
    pub(super) fn forbid_signals_and_files() -> io::Result<()> {
        // SAFETY: with the version flag the call reads no memory; the result is a number.
        let abi = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<RulesetAttr>(),
                0_usize,
                CREATE_RULESET_VERSION,
            )
        };
        if abi < 0 {
            return Err(io::Error::last_os_error());
        }
        let attr = RulesetAttr {
            handled_access_fs: EXECUTE | WRITE_FILE | MAKE_AND_REMOVE,
            handled_access_net: 0,
            scoped: if abi >= ABI_WITH_SCOPES {
                SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL
            } else {
                0
            },
        };
        let size = if abi >= ABI_WITH_SCOPES {
            size_of::<RulesetAttr>()
        } else {
            size_of::<u64>()
        };
        // SAFETY: `attr` is a structure of the kernel's layout that is at least `size` bytes long and outlives the call.
        let raw = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &raw const attr,
                size,
                0_u32,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        let raw = i32::try_from(raw).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        let ruleset = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: the call takes a descriptor and flags, and touches no memory of ours.
        let done =
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    const CREATE_RULESET_VERSION: u32 = 1;
    const ABI_WITH_SCOPES: libc::c_long = 6;
    const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
    const SCOPE_SIGNAL: u64 = 1 << 1;
    const EXECUTE: u64 = 1;
    const WRITE_FILE: u64 = 1 << 1;
    /// Bits 4 to 12: removing and making every kind of file.
    const MAKE_AND_REMOVE: u64 = 0x1ff0;
}

/// Users for a process that talks to strangers, the best first.
const STRANGERS: [&str; 2] = ["evenkeel-proxy", "nobody"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_knows_its_role_by_its_name() {
        for role in [Role::Vrrp, Role::Proxy] {
            assert_eq!(Role::from_program_name(role.profile().name), Some(role));
        }
        assert_eq!(Role::from_program_name("evenkeel"), None);
    }

    #[test]
    fn names_fit_the_kernels_fifteen_bytes() {
        for role in Role::ALL {
            assert!(
                role.profile().name.len() <= 15,
                "{} is cut in /proc",
                role.profile().name
            );
        }
    }

    #[test]
    fn proxy_has_no_capability() {
        assert_eq!(Role::Proxy.profile().capabilities.map(<[_]>::len), Some(0));
    }
}
