//! The keeper of a notify program: a process between the supervisor and the program that leaves
//! nothing behind.
//!
//! What a program starts may leave its process group and its parent (setsid, a double fork), and
//! then no signal of the supervisor reaches it. The keeper is the one to whom the kernel gives such
//! orphans (PR_SET_CHILD_SUBREAPER), so it can kill all of them when the program ends or its time
//! is over. It is a fork that never executes anything: it has no capability, no descriptor, and
//! makes system calls only, because other threads may have held locks.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Makes a command run beneath a keeper, for at most so long.
///
/// Whoever starts it sees the keeper, which ends as the program did: with its exit code, by its
/// signal, or by SIGALRM when its time was over. SIGTERM makes the keeper end at once, with
/// everything. Must be the last to prepare the command.
pub(super) fn keep(command: &mut Command, limit: Duration) {
    let become_it = move || {
        drop_capabilities()?;
        // What the daemon itself was started with and knows nothing of; before Linux 5.11 that
        // stays open. SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) };
        // SAFETY: numbers only.
        checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
        let deadline = now().saturating_add(limit);
        // SAFETY: this process has one thread, and both of the two make system calls only until
        // they execute or end.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: numbers only.
                checked(unsafe { libc::setpgid(0, 0) })?;
                // A program whose keeper was killed ends too.
                // SAFETY: numbers only.
                checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })
            }
            -1 => Err(io::Error::last_os_error()),
            program => watch_over(program, deadline),
        }
    };
    // SAFETY: between fork and exec the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(become_it) };
}

/// How a program ended.
#[derive(Clone, Copy)]
enum End {
    Code(libc::c_int),
    Signal(libc::c_int),
}

/// Waits for the end of the program, or of its time, kills what is left, and ends likewise.
fn watch_over(program: libc::pid_t, deadline: Duration) -> ! {
    // SAFETY: numbers only. A memory image of this process would be one of the supervisor's. When
    // the supervisor ends, nobody waits for the program any more. Descriptors: whoever started this
    // waits for the end of one of them.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"evenkeel-keeper".as_ptr(), 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0);
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) != 0 {
            for descriptor in 3..DESCRIPTORS_MAX {
                libc::close(descriptor);
            }
        }
    }
    let signals = block_all_signals();
    let mut end = None;
    while end.is_none() {
        reap(program, &mut end);
        let left = deadline.saturating_sub(now());
        if end.is_none() && left.is_zero() {
            end = Some(End::Signal(libc::SIGALRM));
        }
        if end.is_none() && wait_for(&signals, left) == libc::SIGTERM {
            end = Some(End::Signal(libc::SIGTERM));
        }
    }
    let give_up_at = now().saturating_add(KILL_TIMEOUT);
    let mut ignored = Some(End::Code(0));
    loop {
        // SAFETY: numbers only. The group is the program's own and has no number of anybody else's:
        // its members are not reaped before `reap`.
        unsafe { libc::kill(-program, libc::SIGKILL) };
        kill_children();
        if !reap(program, &mut ignored) || now() >= give_up_at {
            break;
        }
        wait_for(&signals, KILL_PAUSE);
    }
    finish(end.unwrap_or(End::Code(1)))
}

/// Ends this process as the program ended.
fn finish(end: End) -> ! {
    let code = match end {
        End::Code(code) => code,
        End::Signal(signal) => {
            // SAFETY: plain system calls on a set of our own. The supervisor's handler of the
            // signal is not for here.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                let mut one: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut one);
                libc::sigaddset(&raw mut one, signal);
                libc::sigprocmask(libc::SIG_UNBLOCK, &raw const one, std::ptr::null_mut());
                libc::kill(libc::getpid(), signal);
            }
            128 + signal
        }
    };
    // SAFETY: ends the process without running anything of the supervisor's.
    unsafe { libc::_exit(code) }
}

/// Takes in every child that has ended; returns whether there are others. The program's end is
/// noted where none is.
fn reap(program: libc::pid_t, end: &mut Option<End>) -> bool {
    loop {
        let mut status = 0;
        // SAFETY: writes a number into `status`.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return true,
            -1 => return false,
            pid if pid == program && end.is_none() => {
                *end = Some(if libc::WIFEXITED(status) {
                    End::Code(libc::WEXITSTATUS(status))
                } else {
                    End::Signal(libc::WTERMSIG(status))
                });
            }
            _ => {}
        }
    }
}

/// Kills every child there is now, orphans of its children included. Without CONFIG_PROC_CHILDREN
/// nobody is named here.
fn kill_children() {
    let mut list = [0_u8; 4_096];
    let path = c"/proc/thread-self/children";
    // SAFETY: the path ends in a zero, the buffer is as long as is said, and the descriptor is
    // closed again.
    let len = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let len = libc::read(file, list.as_mut_ptr().cast(), list.len());
        libc::close(file);
        len
    };
    let len = usize::try_from(len).unwrap_or(0);
    let mut pid: libc::pid_t = 0;
    for byte in &list[..len] {
        if byte.is_ascii_digit() {
            let digit = libc::pid_t::from(byte - b'0');
            pid = pid.saturating_mul(10).saturating_add(digit);
        } else {
            if pid > 1 {
                // SAFETY: numbers only; a child of ours that is not reaped yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            pid = 0;
        }
    }
}

/// Waits for a signal, at most so long, and returns it; 0 where none came.
fn wait_for(signals: &libc::sigset_t, within: Duration) -> libc::c_int {
    // SAFETY: a structure of numbers, for which zero is a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    time.tv_sec = within.as_secs().try_into().unwrap_or(1);
    time.tv_nsec = within.subsec_nanos().into();
    // SAFETY: both structures are ours; what came is not asked for.
    let signal = unsafe { libc::sigtimedwait(signals, std::ptr::null_mut(), &raw const time) };
    signal.max(0)
}

/// Blocks every signal: none of the supervisor's handlers may run here. Returns those to wait for.
fn block_all_signals() -> libc::sigset_t {
    // SAFETY: plain system calls on sets of our own, for which zero is a value.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        // An ignored child would be reaped by the kernel, and its end never heard of.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut wanted: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut wanted);
        libc::sigaddset(&raw mut wanted, libc::SIGCHLD);
        libc::sigaddset(&raw mut wanted, libc::SIGTERM);
        wanted
    }
}

/// Gives up every capability of this thread: the keeper executes nothing that would take them, and
/// a program finds none to inherit.
fn drop_capabilities() -> io::Result<()> {
    let header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let none = [[0_u32; 3]; 2];
    // SAFETY: both structures have the kernel's layout (linux/capability.h) and outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns the time of a clock that only grows.
fn now() -> Duration {
    // SAFETY: a structure of numbers, for which zero is a value; the call fills it in.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time
    };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn checked(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// CLOSE_RANGE_CLOEXEC of linux/close_range.h: closed when something is executed.
const CLOEXEC: libc::c_uint = 1 << 2;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// How long killed processes may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two looks at who is left.
const KILL_PAUSE: Duration = Duration::from_millis(5);
/// Closed one by one on kernels without close_range (before 5.9).
const DESCRIPTORS_MAX: libc::c_int = 4_096;
