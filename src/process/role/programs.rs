//! Programs that operators bring: who they run as and what they have left, set between fork and
//! exec.
//!
//! Notify programs run as `evenkeel-notify`, track scripts as the user that the file names or as
//! `evenkeel-script`; without a capability in any set and any way to one, with limits of their own.
//! Users are looked up once, before the first program runs: it may take a while, and the answer
//! stays the same.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use caps::Capability;
use nix::sys::resource::Resource;

use super::capabilities::holds;
use super::limits::{AtMost, Limits, raise_oom_score_adj};
use super::users;

/// Makes a program that operators bring run as a user that owns nothing, without a capability and
/// any way to one.
///
/// Where that cannot be had, [`ProgramUser::shortcomings`] says so.
pub fn run_unprivileged(command: &mut Command, user: &ProgramUser) {
    let user = user.runs_as;
    let become_it = move || confine(user);
    // SAFETY: between fork and exec the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(become_it) };
}

/// Under whose name programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunsAs {
    /// A user that runs nothing else.
    TheirOwn(Ids),
    /// A user that runs other things as well.
    Shared(Ids),
    /// The user of the daemon.
    Unchanged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    gid: libc::gid_t,
    uid: libc::uid_t,
}

/// Under whose name programs of one kind run, and what is wrong with that.
#[derive(Clone, Debug)]
pub struct ProgramUser {
    runs_as: RunsAs,
    shortcomings: Vec<String>,
}

/// A kind of programs, as it is called, and the user that should be theirs.
#[derive(Clone, Copy, Debug)]
struct Kind<'a> {
    called: &'a str,
    user: &'a str,
}

impl ProgramUser {
    /// Looks the user of notify programs up.
    pub fn of_notify_programs() -> Self {
        Self::look_up(Kind {
            called: "notify programs",
            user: users::NOTIFY,
        })
    }

    /// Looks the user of this name up, for track scripts.
    pub fn of_track_scripts(user: &str) -> Self {
        let called = "track scripts";
        Self::look_up(Kind { called, user })
    }

    /// Returns what programs should have and do not, as lines for the log.
    pub fn shortcomings(&self) -> &[String] {
        &self.shortcomings
    }

    fn look_up(kind: Kind<'_>) -> Self {
        let may_change = [Capability::CAP_SETUID, Capability::CAP_SETGID]
            .into_iter()
            .all(holds)
            && std::fs::read_to_string("/proc/self/setgroups")
                .is_ok_and(|text| text.trim() == "allow");
        // No other name of root's either.
        let found = |names: &[&str]| {
            let user = users::first(names).filter(|user| !user.uid.is_root())?;
            let (gid, uid) = (user.gid.as_raw(), user.uid.as_raw());
            Some((user.name, Ids { gid, uid }))
        };
        if may_change {
            let own = found(&[kind.user]).or_else(|| found(&[users::NOBODY]));
            Self::new(kind, own, found(users::PROXY))
        } else {
            let why = "it may not change its user id";
            Self {
                runs_as: RunsAs::Unchanged,
                shortcomings: vec![format!("{}: {why}", kind.unchanged())],
            }
        }
    }

    /// Returns the user where user ids can be changed.
    fn new(kind: Kind<'_>, programs: Option<(String, Ids)>, proxy: Option<(String, Ids)>) -> Self {
        let Kind { called, user: own } = kind;
        let Some((name, ids)) = programs else {
            let why = format!("none of the users {own}, {} exists", users::NOBODY);
            return Self {
                runs_as: RunsAs::Unchanged,
                shortcomings: vec![format!("{}: {why}; {}", kind.unchanged(), kind.remedy())],
            };
        };
        let mut shortcomings = Vec::new();
        let shared = proxy.is_some_and(|(_, proxy)| proxy.uid == ids.uid);
        let runs_as = if name == own && !shared {
            RunsAs::TheirOwn(ids)
        } else {
            RunsAs::Shared(ids)
        };
        if name != own {
            let too = if shared { ", as the proxy does" } else { "" };
            shortcomings.push(format!(
                "{called} run as {name}{too}: there is no user {own}; {}",
                kind.remedy()
            ));
        } else if shared {
            shortcomings.push(format!(
                "{called} and the proxy have the same user id {}: give {own} another",
                ids.uid
            ));
        }
        Self {
            runs_as,
            shortcomings,
        }
    }
}

impl Kind<'_> {
    fn unchanged(self) -> String {
        format!("{} run as the user of the daemon", self.called)
    }

    fn remedy(self) -> String {
        let Self { called, user } = self;
        format!(
            "write `u {user} - \"Evenkeel {called}\" /` into /usr/lib/sysusers.d/evenkeel.conf and \
             run `systemd-sysusers`"
        )
    }
}

/// Runs in the child between fork and exec: system calls only.
fn confine(user: RunsAs) -> io::Result<()> {
    // Neither can fail for want of a right, and a program that is easier or harder to kill is
    // better than none.
    if let Some(least) = LIMITS.oom_score_adj_min {
        let _ = raise_oom_score_adj(least);
    }
    for limit in LIMITS.at_most {
        let _ = limit.apply();
    }
    // The daemon's own may be stricter than what a program expects.
    // SAFETY: a number only.
    unsafe { libc::umask(UMASK) };
    for capability in (0..=CAPABILITIES_MAX).filter(|it| *it != NET_RAW) {
        // Refused without CAP_SETPCAP, and for numbers that the kernel does not know; what follows
        // suffices there. SAFETY: numbers only.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    match user {
        RunsAs::TheirOwn(ids) => {
            let _ = PROCESSES.apply();
            become_user(ids)?;
        }
        RunsAs::Shared(ids) => become_user(ids)?,
        RunsAs::Unchanged => {}
    }
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL;
    // SAFETY: numbers only.
    checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) }.into())?;
    // Permitted and effective ones would survive the exec of root, inheritable ones every exec.
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: a header of version and process id, and twice three words, as capset(2) wants them;
    // both are only read.
    checked(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) })?;
    // SAFETY: numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())
}

fn become_user(ids: Ids) -> io::Result<()> {
    let Ids { gid, uid } = ids;
    // SAFETY: an empty list is not read; the others take numbers.
    checked(unsafe { libc::setgroups(0, std::ptr::null()) }.into())?;
    // SAFETY: numbers only.
    checked(unsafe { libc::setresgid(gid, gid, gid) }.into())?;
    // SAFETY: numbers only.
    checked(unsafe { libc::setresuid(uid, uid, uid) }.into())
}

fn checked(result: libc::c_long) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a program has, whatever the daemon has.
const LIMITS: Limits = Limits {
    oom_score_adj_min: Some(0),
    at_most: &[
        AtMost::both(Resource::RLIMIT_RTPRIO, 0),
        AtMost::both(Resource::RLIMIT_NICE, 0),
        AtMost::both(Resource::RLIMIT_MEMLOCK, 0),
        AtMost::both(Resource::RLIMIT_CORE, 0),
        // Programs that close all they might have inherited, or use select(2), count on the usual
        // number.
        AtMost {
            resource: Resource::RLIMIT_NOFILE,
            soft: 1024,
            hard: 4096,
        },
    ],
};
/// So many processes of all programs together, so that a fork bomb leaves the unit's `TasksMax` to
/// the daemon. Only where their user runs nothing else, because the kernel counts by user.
const PROCESSES: AtMost = AtMost::both(Resource::RLIMIT_NPROC, 1024);
const UMASK: libc::mode_t = 0o022;
/// The kernel's sets have 64 bits.
const CAPABILITIES_MAX: libc::c_ulong = 63;
/// CAP_NET_RAW stays in the bounding set, so that ping(8), whose file asks for it, can be executed
/// at all; PR_SET_NO_NEW_PRIVS keeps it from being had.
const NET_RAW: libc::c_ulong = 13;
/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFY: Kind<'static> = Kind {
        called: "notify programs",
        user: "evenkeel-notify",
    };

    fn user(name: &str, id: u32) -> Option<(String, Ids)> {
        Some((name.to_owned(), Ids { gid: id, uid: id }))
    }

    #[test]
    fn programs_have_a_user_of_their_own_and_nothing_is_said() {
        let plan = ProgramUser::new(
            NOTIFY,
            user("evenkeel-notify", 990),
            user("evenkeel-proxy", 991),
        );
        assert_eq!(plan.runs_as, RunsAs::TheirOwn(Ids { gid: 990, uid: 990 }));
        assert_eq!(plan.shortcomings, Vec::<String>::new());
    }

    #[test]
    fn a_missing_user_is_said_with_its_remedy() {
        let plan = ProgramUser::new(NOTIFY, user("nobody", 65_534), user("nobody", 65_534));
        assert_eq!(
            plan.runs_as,
            RunsAs::Shared(Ids {
                gid: 65_534,
                uid: 65_534
            })
        );
        let [line] = &plan.shortcomings[..] else {
            panic!("one line: {:?}", plan.shortcomings)
        };
        assert!(line.contains("run as nobody, as the proxy does"), "{line}");
        assert!(line.contains("u evenkeel-notify - "), "{line}");

        let plan = ProgramUser::new(NOTIFY, None, None);
        assert_eq!(plan.runs_as, RunsAs::Unchanged);
        assert!(
            plan.shortcomings[0].contains(&NOTIFY.unchanged()),
            "{plan:?}"
        );
    }

    #[test]
    fn the_users_of_programs_and_of_the_proxy_differ_or_it_is_said() {
        let plan = ProgramUser::new(
            NOTIFY,
            user("evenkeel-notify", 990),
            user("evenkeel-proxy", 990),
        );
        assert_eq!(plan.runs_as, RunsAs::Shared(Ids { gid: 990, uid: 990 }));
        assert!(
            plan.shortcomings[0].contains("same user id 990"),
            "{plan:?}"
        );
    }

    /// The remedy is a line that the package installs.
    #[test]
    fn the_remedies_are_lines_of_the_sysusers_file() {
        let file = include_str!("../../../config/systemd/evenkeel.sysusers.conf");
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let scripts = Kind {
            called: "track scripts",
            user: "evenkeel-script",
        };
        for kind in [NOTIFY, scripts] {
            let remedy = kind.remedy();
            let wanted = remedy.split('`').nth(1).unwrap_or_default();
            assert!(
                file.lines().any(|line| squeezed(line) == wanted),
                "{wanted}"
            );
        }
    }
}
