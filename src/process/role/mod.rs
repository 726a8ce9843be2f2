//! The processes of the daemon and what each may do: user, capabilities, limits, files and calls,
//! as one table.
//!
//! A child is this same program, started again under the name of its role with its channel as
//! standard input. The first thing it does, before any thread exists (capabilities, landlock and
//! seccomp belong to threads), is [`confine`]. Programs that operators bring are no children: see
//! `programs`. `netns-tests/daemon/privileges.rs` reads the result off the running processes;
//! `tests` here tries every denied call in one.

mod calls;
mod capabilities;
mod error;
mod landlock;
mod limits;
mod programs;
mod seccomp;
#[cfg(test)]
mod tests;
mod users;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use caps::Capability;
use nix::sys::prctl;
use nix::sys::resource::Resource;
use nix::sys::signal::{SigSet, Signal};

use self::error::system;
use self::users::Identity;

pub use self::calls::Call;
pub use self::capabilities::relinquish;
pub use self::error::ConfineError;
pub use self::landlock::{Access, AllowedPath, Tcp};
pub use self::limits::{AtMost, Limits};
pub use self::programs::{ProgramUser, run_unprivileged};
pub use self::seccomp::{Calls, Local};

/// A process of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The parent: children, listening sockets, control socket.
    Supervisor,
    /// The virtual routers.
    Vrrp,
    /// The HTTP proxy.
    Proxy,
    /// The private keys.
    Keys,
    /// Names that are looked up.
    Names,
    /// What operators look at.
    Admin,
}

/// What a process may do.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name in `ps`.
    pub name: &'static str,
    /// What it keeps of the capabilities it was started with; `None`: all of them, to pass on.
    pub capabilities: Option<&'static [Capability]>,
    /// Users that it becomes, the first that exists; none: as it was started.
    pub users: &'static [&'static str],
    /// Its share of what the kernel rations.
    pub limits: Limits,
    /// How it is fenced in; `None`: as it was started.
    pub fence: Option<Fence>,
}

/// How a process is fenced in: no new privileges, and nobody looks into its memory but root.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    /// What it may open; everything else, and signals to others, are denied.
    pub allowed_paths: &'static [AllowedPath],
    /// What of TCP it may not do.
    pub denied_tcp: Tcp,
    /// What it may not call.
    pub calls: Calls,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Supervisor,
        Self::Vrrp,
        Self::Proxy,
        Self::Keys,
        Self::Names,
        Self::Admin,
    ];

    /// Those that the supervisor starts.
    pub const CHILDREN: [Self; 5] = [
        Self::Vrrp,
        Self::Proxy,
        Self::Keys,
        Self::Names,
        Self::Admin,
    ];

    /// Returns the row of the table.
    pub const fn profile(self) -> Profile {
        match self {
            Self::Supervisor => SUPERVISOR,
            Self::Vrrp => VRRP,
            Self::Proxy => PROXY,
            Self::Keys => KEYS,
            Self::Names => NAMES,
            Self::Admin => ADMIN,
        }
    }

    /// Returns the child's role that the first argument of the program names, if it names one.
    pub fn from_program_name(name: &str) -> Option<Self> {
        Self::CHILDREN
            .into_iter()
            .find(|role| role.profile().name == name)
    }

    /// Returns the command that starts this program again in this role, with `channel` as its
    /// standard input.
    pub fn command(self, channel: OwnedFd) -> Command {
        let mut command = Command::new("/proc/self/exe");
        // A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops the
        // others in order.
        command
            .arg0(self.profile().name)
            .stdin(Stdio::from(channel))
            .stdout(Stdio::null())
            .process_group(0);
        command
    }
}

const SUPERVISOR: Profile = Profile {
    name: "evenkeel",
    capabilities: None,
    users: &[],
    // It passes on what the unit gave for the vrrp process.
    limits: Limits {
        oom_score_adj_min: None,
        at_most: &[],
    },
    fence: None,
};

const VRRP: Profile = Profile {
    name: "evenkeel-vrrp",
    capabilities: Some(&[
        Capability::CAP_NET_ADMIN,
        Capability::CAP_NET_RAW,
        Capability::CAP_SYS_NICE,
        Capability::CAP_IPC_LOCK,
    ]),
    users: &[],
    // Memory stays locked, and it stays the last to be killed for want of memory.
    limits: Limits {
        oom_score_adj_min: None,
        at_most: &[
            AtMost::both(Resource::RLIMIT_RTPRIO, 2),
            AtMost::both(Resource::RLIMIT_NICE, 0),
            AtMost::both(Resource::RLIMIT_CORE, 0),
        ],
    },
    fence: Some(Fence {
        // The settings of interfaces with a virtual MAC.
        allowed_paths: &[
            AllowedPath {
                path: "/proc/sys/net/ipv4/conf",
                access: Access::ReadAndWrite,
            },
            AllowedPath {
                path: "/proc/sys/net/ipv6/conf",
                access: Access::ReadAndWrite,
            },
            OWN_PROGRAM,
        ],
        denied_tcp: Tcp::Everything,
        calls: Calls {
            denied: &[
                calls::PROGRAMS,
                calls::OTHER_PROCESSES,
                calls::FILES,
                calls::NAMESPACES,
                calls::KERNEL,
                calls::IDENTITY,
                calls::OF_THIS_ARCHITECTURE,
                calls::NEW,
            ],
            // Not AF_UNIX: as root it could ask others to do what it may not do itself.
            families: &[
                libc::AF_INET,
                libc::AF_INET6,
                libc::AF_NETLINK,
                libc::AF_PACKET,
            ],
            local: Local::Pairs,
        },
    }),
};

const PROXY: Profile = Profile {
    name: "evenkeel-proxy",
    capabilities: Some(&[]),
    users: users::PROXY,
    limits: Limits {
        oom_score_adj_min: Some(0),
        at_most: &[
            AtMost::both(Resource::RLIMIT_RTPRIO, 0),
            AtMost::both(Resource::RLIMIT_NICE, 0),
            AtMost::both(Resource::RLIMIT_MEMLOCK, 0),
            AtMost::both(Resource::RLIMIT_CORE, 0),
        ],
    },
    fence: Some(Fence {
        allowed_paths: &[OWN_PROGRAM],
        denied_tcp: Tcp::Binding,
        calls: Calls {
            denied: &[
                calls::PROGRAMS,
                calls::OTHER_PROCESSES,
                calls::FILES,
                calls::NAMESPACES,
                calls::KERNEL,
                calls::IDENTITY,
                calls::RIGHTS,
                calls::OF_THIS_ARCHITECTURE,
                calls::NEW,
            ],
            families: &[libc::AF_INET, libc::AF_INET6],
            local: Local::Pairs,
        },
    }),
};

const KEYS: Profile = Profile {
    name: "evenkeel-keys",
    capabilities: Some(&[]),
    users: users::KEYS,
    // It keeps the place of the supervisor among those that are killed for want of memory: without
    // it no handshake ends. Its memory is locked as far as it may be.
    limits: Limits {
        oom_score_adj_min: None,
        at_most: &[
            AtMost::both(Resource::RLIMIT_RTPRIO, 0),
            AtMost::both(Resource::RLIMIT_NICE, 0),
            AtMost::both(Resource::RLIMIT_CORE, 0),
        ],
    },
    fence: Some(Fence {
        allowed_paths: &[OWN_PROGRAM],
        denied_tcp: Tcp::Everything,
        calls: Calls {
            denied: &[
                calls::PROGRAMS,
                calls::OTHER_PROCESSES,
                calls::FILES,
                calls::NAMESPACES,
                calls::KERNEL,
                calls::IDENTITY,
                calls::RIGHTS,
                calls::NETWORK,
                calls::OF_THIS_ARCHITECTURE,
                calls::NEW,
            ],
            families: &[],
            local: Local::Pairs,
        },
    }),
};

const NAMES: Profile = Profile {
    name: "evenkeel-names",
    capabilities: Some(&[]),
    users: users::NAMES,
    // It is missed by nobody for a while, and what it is told may be large.
    limits: Limits {
        oom_score_adj_min: Some(0),
        at_most: &[
            AtMost::both(Resource::RLIMIT_RTPRIO, 0),
            AtMost::both(Resource::RLIMIT_NICE, 0),
            AtMost::both(Resource::RLIMIT_MEMLOCK, 0),
            AtMost::both(Resource::RLIMIT_CORE, 0),
            // Two lines of questions, each on a thread with some sockets.
            AtMost::both(Resource::RLIMIT_NOFILE, 512),
            AtMost::both(Resource::RLIMIT_DATA, 256 * 1024 * 1024),
        ],
    },
    fence: Some(Fence {
        allowed_paths: RESOLVER,
        denied_tcp: Tcp::Binding,
        calls: Calls {
            denied: &[
                calls::PROGRAMS,
                calls::OTHER_PROCESSES,
                calls::FILES,
                calls::NAMESPACES,
                calls::KERNEL,
                calls::IDENTITY,
                calls::RIGHTS,
                calls::LISTENING,
                calls::OF_THIS_ARCHITECTURE,
                calls::NEW,
            ],
            // Netlink says which addresses the host has itself, by which answers are sorted.
            families: &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
            // Modules of nsswitch.conf(5) ask others over sockets with a path (resolve, mymachines,
            // mdns), as does the C library itself (nscd). As the daemon's user it could ask the
            // daemon, or what else obeys that user; `dns` does without.
            local: Local::WithOwnUser,
        },
    }),
};

const ADMIN: Profile = Profile {
    name: "evenkeel-admin",
    capabilities: Some(&[]),
    users: users::ADMIN,
    // Traffic goes on without it.
    limits: Limits {
        oom_score_adj_min: Some(500),
        at_most: &[
            AtMost::both(Resource::RLIMIT_RTPRIO, 0),
            AtMost::both(Resource::RLIMIT_NICE, 0),
            AtMost::both(Resource::RLIMIT_MEMLOCK, 0),
            AtMost::both(Resource::RLIMIT_CORE, 0),
            AtMost::both(Resource::RLIMIT_NOFILE, 512),
            AtMost::both(Resource::RLIMIT_DATA, 512 * 1024 * 1024),
        ],
    },
    fence: Some(Fence {
        allowed_paths: &[OWN_PROGRAM],
        denied_tcp: Tcp::Everything,
        calls: Calls {
            denied: &[
                calls::PROGRAMS,
                calls::OTHER_PROCESSES,
                calls::FILES,
                calls::NAMESPACES,
                calls::KERNEL,
                calls::IDENTITY,
                calls::RIGHTS,
                calls::REACHING,
                calls::OF_THIS_ARCHITECTURE,
                calls::NEW,
            ],
            families: &[],
            local: Local::Pairs,
        },
    }),
};

/// What getaddrinfo(3) reads: its settings, and the modules that these name, which are loaded
/// when they are first asked. Files that are links are those that they lead to; who keeps such a
/// file elsewhere replaces it there, in a directory.
const RESOLVER: &[AllowedPath] = &[
    OWN_PROGRAM,
    readable("/etc/nsswitch.conf"),
    readable("/etc/hosts"),
    readable("/etc/resolv.conf"),
    readable("/etc/host.conf"),
    readable("/etc/gai.conf"),
    readable("/etc/mdns.allow"),
    readable("/run/systemd/resolve"),
    readable("/run/NetworkManager"),
    readable("/run/resolvconf"),
    readable("/etc/ld.so.cache"),
    readable("/lib"),
    readable("/lib64"),
    readable("/usr/lib"),
    readable("/usr/lib64"),
];

const fn readable(path: &'static str) -> AllowedPath {
    AllowedPath {
        path,
        access: Access::Read,
    }
}

/// So that a backtrace has names.
const OWN_PROGRAM: AllowedPath = readable("/proc/self/exe");

/// Takes from this process all that its role does not need. Must be called before any thread is
/// started.
///
/// Returns what could not be done and is not vital, as lines for the log.
///
/// # Errors
/// When the kernel refuses what is vital: the name, the signal mask, a capability set, no new
/// privileges, or no dumps.
pub fn confine(role: Role) -> Result<Vec<String>, ConfineError> {
    let profile = role.profile();
    if let Ok(name) = CString::new(profile.name) {
        prctl::set_name(&name).map_err(system("PR_SET_NAME"))?;
    }
    if role != Role::Supervisor {
        ignore_operators()?;
    }
    // Before the user changes, because the change takes the right to do it: to limits, and to the
    // bounding set.
    let mut shortcomings = profile.limits.apply();
    if let Some(capabilities) = profile.capabilities {
        capabilities::bound(capabilities)?;
    }
    let mut user = Identity::AsStarted;
    if !profile.users.is_empty() {
        match users::become_first(profile.users) {
            Ok(()) => user = Identity::Own,
            Err(reason) => shortcomings.push(format!("the process keeps its user id: {reason}")),
        }
    }
    if let Some(capabilities) = profile.capabilities {
        capabilities::keep(capabilities)?;
    }
    if let Some(fence) = profile.fence {
        prctl::set_no_new_privs().map_err(system("PR_SET_NO_NEW_PRIVS"))?;
        prctl::set_dumpable(false).map_err(system("PR_SET_DUMPABLE"))?;
        shortcomings.extend(fence.close(user));
    }
    Ok(shortcomings)
}

impl Fence {
    /// Closes it around this process; returns what stays open.
    fn close(&self, user: Identity) -> Vec<String> {
        let mut open = Vec::new();
        match landlock::restrict(self.allowed_paths, self.denied_tcp) {
            Ok(lacks) if lacks.is_empty() => {}
            Ok(lacks) => open.push(format!(
                "landlock of this kernel does not deny {}",
                lacks.join(", ")
            )),
            Err(error) => open.push(format!("landlock: {error}")),
        }
        let filter = seccomp::Filter::new(&self.calls, user, std::process::id(), libc::EPERM);
        if let Err(error) = filter.and_then(|filter| filter.install()) {
            open.push(format!("seccomp: {error}"));
        }
        open
    }
}

/// Makes a child deaf to the signals by which operators tell the supervisor something: `systemctl
/// kill` and `killall` send them to every process of the daemon.
fn ignore_operators() -> Result<(), ConfineError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGHUP);
    signals.add(Signal::SIGUSR1);
    signals.thread_block().map_err(system("pthread_sigmask"))
}

/// Returns the channel that the supervisor gave this child as its standard input.
///
/// # Errors
/// When it is not a socket that the supervisor made.
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
