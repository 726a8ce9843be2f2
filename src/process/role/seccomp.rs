//! seccomp(2): a filter made of a list of denied calls, for a process before it has threads.
//!
//! A denied call answers EPERM: no signal, so that a mistake in the list is an error in the log,
//! not a crash. `clone3` hides its flags in memory, where a filter cannot look; it answers ENOSYS,
//! and the C library uses `clone` instead, which may make threads and nothing else. Calls of
//! another architecture, or of x32, are denied altogether. Which calls pass whatever their
//! arguments are the kernel learns once, so that they cost no run of the filter.

use std::io;

use super::calls::Call;
use super::users::Identity;

/// What a process may not call.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Denied whatever the arguments are, in groups.
    pub denied: &'static [&'static [Call]],
    /// What `socket` may be called with.
    pub families: &'static [libc::c_int],
    /// Which sockets of this machine there may be.
    pub local: Local,
}

/// Sockets of this machine (AF_UNIX): who connects one is known by its user, and may be obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// Those that come in pairs, from `socketpair`.
    Pairs,
    /// Any, where the process has another user than the daemon; else pairs.
    WithOwnUser,
}

impl Calls {
    /// Returns the families that this user may call `socket` with.
    pub(super) fn families_of(&self, user: Identity) -> Vec<libc::c_int> {
        let local = match (self.local, user) {
            (Local::WithOwnUser, Identity::Own) => Some(libc::AF_UNIX),
            (Local::WithOwnUser, Identity::AsStarted) | (Local::Pairs, _) => None,
        };
        self.families.iter().copied().chain(local).collect()
    }
}

/// A filter for one process.
#[derive(Debug)]
pub(super) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Returns the filter of the process `pid`; what is denied answers `errno`.
    ///
    /// Errs on an architecture whose numbers are not known here.
    pub(super) fn new(
        calls: &Calls,
        user: Identity,
        pid: u32,
        errno: libc::c_int,
    ) -> io::Result<Self> {
        let (Some(architecture), Ok(errno)) = (AUDIT_ARCH, u32::try_from(errno)) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let refuse = give(libc::SECCOMP_RET_ERRNO | errno);
        let allow = give(libc::SECCOMP_RET_ALLOW);
        let mut code = vec![
            load(ARCHITECTURE),
            if_equal(architecture, 1, 0),
            refuse,
            load(NUMBER),
        ];
        if cfg!(target_arch = "x86_64") {
            code.extend([jump(libc::BPF_JGE, X32, 0, 1), refuse]);
        }
        let number = |call| u32::try_from(call).map_err(io::Error::other);
        for call in calls.denied.iter().copied().flatten() {
            code.extend([if_equal(number(call.number)?, 0, 1), refuse]);
        }
        let no_such_call = give(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        code.extend([if_equal(number(libc::SYS_clone3)?, 0, 1), no_such_call]);
        // Threads alone, and in no namespace of their own.
        code.extend([
            if_equal(number(libc::SYS_clone)?, 0, 5),
            load(FIRST_ARGUMENT),
            jump(libc::BPF_JSET, libc::CLONE_THREAD as u32, 0, 2),
            jump(libc::BPF_JSET, NAMESPACES as u32, 1, 0),
            allow,
            refuse,
        ]);
        // A process may signal itself, as abort(3) does, and nobody else.
        code.extend([
            if_equal(number(libc::SYS_tgkill)?, 0, 4),
            load(FIRST_ARGUMENT),
            if_equal(pid, 0, 1),
            allow,
            refuse,
        ]);
        let families = calls.families_of(user);
        let count = u8::try_from(families.len()).map_err(io::Error::other)?;
        code.extend([
            if_equal(number(libc::SYS_socket)?, 0, count + 3),
            load(FIRST_ARGUMENT),
        ]);
        for (family, left) in families.iter().zip((1..=count).rev()) {
            code.push(if_equal(*family as u32, left, 0));
        }
        code.extend([refuse, allow, allow]);
        Ok(Self(code))
    }

    /// Installs it for this process, for good. Needs no_new_privs; must be called before any thread
    /// is started.
    pub(super) fn install(&self) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).map_err(io::Error::other)?,
            filter: self.0.as_ptr().cast_mut(),
        };
        // Without the flag some kernels slow the whole process down against speculation, as if it
        // ran foreign code.
        let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        // SAFETY: the program and its instructions outlive the call, which copies them and writes
        // nothing.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

const fn give(value: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, value, 0, 0)
}

/// Skips so many instructions where the loaded value is `value`, and so many where it is not.
const fn if_equal(value: u32, equal: u8, other: u8) -> libc::sock_filter {
    jump(libc::BPF_JEQ, value, equal, other)
}

const fn jump(test: u32, value: u32, yes: u8, no: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | test | libc::BPF_K, value, yes, no)
}

const fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// Offsets in `struct seccomp_data` of linux/seccomp.h; of an argument its lower half, on a
/// little-endian machine.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
/// Call numbers of x32 have this bit.
const X32: u32 = 0x4000_0000;
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;
/// `AUDIT_ARCH_*` of linux/audit.h: the ELF machine, 64 bits, little-endian.
const AUDIT_ARCH: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_0000 | libc::EM_X86_64 as u32)
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some(0xc000_0000 | libc::EM_AARCH64 as u32)
} else {
    None
};
