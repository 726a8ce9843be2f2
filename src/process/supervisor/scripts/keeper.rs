//! The keeper of a program: a process between the supervisor and the program that leaves nothing
//! behind.
//!
//! What a program starts may leave its process group and its parent (setsid, a double fork), and
//! then no signal of the supervisor reaches it. The keeper is the one to whom the kernel gives such
//! orphans (PR_SET_CHILD_SUBREAPER), so it can kill all of them when the program ends or its time
//! is over. It is a fork that never executes anything: it has no capability, no descriptor but what
//! it is spoken to through, and makes system calls only, because other threads may have held locks.
//!
//! There are two kinds: one for a single program ([`keep`]), and one that runs one program after
//! another as it is asked to ([`serve`]), which costs neither a fork of the supervisor nor a copy
//! of its page tables for each.

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

/// Makes a command a keeper that runs programs as it is asked to, one after another.
///
/// It reads requests from standard input and writes an answer to each to standard output; it ends
/// with its standard input. Must be the last to prepare the command; nothing is executed.
pub(super) fn serve(command: &mut Command) {
    let become_it = move || {
        drop_capabilities()?;
        // SAFETY: numbers only.
        checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
        answer_requests()
    };
    // SAFETY: between fork and the end the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(become_it) };
}

/// How a program ended.
#[derive(Clone, Copy)]
enum End {
    Code(libc::c_int),
    Signal(libc::c_int),
    /// It was killed because the keeper was told to stop.
    Stop,
}

/// Waits for the end of the program, or of its time, kills what is left, and ends likewise.
fn watch_over(program: libc::pid_t, deadline: Duration) -> ! {
    become_keeper(3);
    let signals = block_all_signals();
    finish(outlast(program, deadline, &signals))
}

/// Gives this process its name, and takes from it what the supervisor had: descriptors from this
/// one on.
fn become_keeper(first: libc::c_int) {
    // SAFETY: numbers only. A memory image of this process would be one of the supervisor's. When
    // the supervisor ends, nobody waits for the program any more. Descriptors: whoever started this
    // waits for the end of one of them.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"evenkeel-keeper".as_ptr(), 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0);
        if libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) != 0 {
            for descriptor in first..DESCRIPTORS_MAX {
                libc::close(descriptor);
            }
        }
    }
}

/// Waits for the end of the program, or of its time, and kills what is left of it and of all that
/// it has started; returns how it ended.
fn outlast(program: libc::pid_t, deadline: Duration, signals: &libc::sigset_t) -> End {
    let mut end = None;
    while end.is_none() {
        reap(program, &mut end);
        let left = deadline.saturating_sub(now());
        if end.is_none() && left.is_zero() {
            end = Some(End::Signal(libc::SIGALRM));
        }
        if end.is_none() && wait_for(signals, left) == libc::SIGTERM {
            end = Some(End::Stop);
        }
    }
    let give_up_at = now().saturating_add(KILL_TIMEOUT);
    let mut ignored = Some(End::Code(0));
    while reap(program, &mut ignored) && now() < give_up_at {
        // SAFETY: numbers only. The group is the program's own and has no number of anybody else's:
        // while there is a child, its members are not all reaped.
        unsafe { libc::kill(-program, libc::SIGKILL) };
        kill_children();
        if !reap(program, &mut ignored) {
            break;
        }
        wait_for(signals, KILL_PAUSE);
    }
    end.unwrap_or(End::Code(1))
}

/// A request: how long the program may take, in milliseconds, and how many bytes of words follow,
/// each word with a zero behind it.
pub(super) const REQUEST_HEAD_BYTES: usize = 16;
/// The most bytes of words.
pub(super) const WORDS_BYTES_MAX: usize = 64 * 1024;
/// The most words: the path of the program, its name, and its arguments.
pub(super) const WORDS_MAX: usize = 512;
/// An answer: what kind of end, and its number.
pub(super) const ANSWER_BYTES: usize = 8;
/// The program ended with this exit code.
pub(super) const ENDED: u32 = 0;
/// A signal ended it.
pub(super) const SIGNALLED: u32 = 1;
/// Its time was over.
pub(super) const TIMED_OUT: u32 = 2;
/// It could not be started, for this errno.
pub(super) const NOT_STARTED: u32 = 3;
/// The keeper was told to stop (SIGTERM).
pub(super) const STOPPED: u32 = 4;

/// Answers requests until there are no more.
fn answer_requests() -> ! {
    become_keeper(3);
    let signals = block_all_signals();
    // SAFETY: plain system calls. What the supervisor does on a signal is not for here, nor for a
    // program before it is executed.
    unsafe {
        for signal in 1..=SIGNALS_MAX {
            libc::signal(signal, libc::SIG_DFL);
        }
        // Where a program reads from and writes to; the number is the lowest that is free.
        libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
    }
    // In the keeper's own data: nothing is allocated, and its stack is small.
    let words = &raw mut WORDS;
    loop {
        let mut head = [0_u8; REQUEST_HEAD_BYTES];
        if !read_all(head.as_mut_ptr(), head.len()) {
            end_quietly();
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        let len = usize::try_from(number(8)).unwrap_or(usize::MAX);
        // SAFETY: the one thread of this process uses it, and there is room for as much.
        let words = unsafe { &mut *words };
        if len > WORDS_BYTES_MAX || !read_all(words.text.as_mut_ptr(), len) {
            end_quietly();
        }
        let limit = Duration::from_millis(number(0));
        let (kind, code) = run(words, len, limit, &signals);
        let mut answer = [0; ANSWER_BYTES];
        answer[..4].copy_from_slice(&kind.to_ne_bytes());
        answer[4..].copy_from_slice(&code.to_ne_bytes());
        // SAFETY: the buffer is as long as is said.
        let written = unsafe { libc::write(1, answer.as_ptr().cast(), answer.len()) };
        if written != ANSWER_BYTES as isize {
            end_quietly();
        }
    }
}

/// Runs one program to its end, or to the end of its time.
fn run(
    words: &mut Words,
    len: usize,
    limit: Duration,
    signals: &libc::sigset_t,
) -> (u32, libc::c_int) {
    let mut count = 0;
    let mut begins = true;
    for at in 0..len {
        if begins && count < WORDS_MAX {
            words.pointers[count] = (&raw const words.text[at]).cast();
            count += 1;
        }
        begins = words.text[at] == 0;
    }
    words.pointers[count] = std::ptr::null();
    words.errno = 0;
    if count < 2 || !begins {
        return (NOT_STARTED, libc::EINVAL);
    }
    let deadline = now().saturating_add(limit);
    // SAFETY: the child runs on a stack of its own, in this memory, and this process stands still
    // until it executes or ends; it makes system calls only.
    let program = unsafe {
        let top = (&raw mut words.stack).cast::<u8>().add(STACK_BYTES);
        let top = top.sub(top.addr() % 16).cast();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(become_program, top, flags, (&raw mut *words).cast())
    };
    if program < 0 {
        // SAFETY: reads this thread's errno.
        return (NOT_STARTED, unsafe { *libc::__errno_location() });
    }
    let end = outlast(program, deadline, signals);
    match (words.errno, end) {
        (0, End::Code(code)) => (ENDED, code),
        (0, End::Signal(libc::SIGALRM)) if now() >= deadline => (TIMED_OUT, 0),
        (0, End::Stop) => (STOPPED, 0),
        (0, End::Signal(signal)) => (SIGNALLED, signal),
        (errno, _) => (NOT_STARTED, errno),
    }
}

/// Executes the program in the child.
extern "C" fn become_program(words: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the keeper's own words, which it does not touch meanwhile; system calls only.
    unsafe {
        let words = &mut *words.cast::<Words>();
        libc::setpgid(0, 0);
        // A program whose keeper was killed ends too.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        for standard in 0..3 {
            libc::dup2(3, standard);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        let environment = [
            c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".as_ptr(),
            std::ptr::null(),
        ];
        // The first word is the path, the second what the program is called.
        libc::execve(
            words.pointers[0],
            words.pointers[1..].as_ptr(),
            environment.as_ptr(),
        );
        words.errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

/// Reads so many bytes from standard input; returns whether there were as many.
fn read_all(into: *mut u8, len: usize) -> bool {
    let mut read = 0;
    while read < len {
        // SAFETY: there is room for what is left.
        let count = unsafe { libc::read(0, into.add(read).cast(), len - read) };
        match usize::try_from(count) {
            Ok(count @ 1..) => read += count,
            Ok(0) | Err(_) => return false,
        }
    }
    true
}

fn end_quietly() -> ! {
    // SAFETY: ends the process without running anything of the supervisor's.
    unsafe { libc::_exit(0) }
}

/// The words of a request, and what executing them needs.
struct Words {
    text: [u8; WORDS_BYTES_MAX],
    pointers: [*const libc::c_char; WORDS_MAX + 1],
    /// Why they were not executed.
    errno: libc::c_int,
    stack: [u8; STACK_BYTES],
}

/// Of each keeper its own: it is written to in keepers alone, each of which is a process.
static mut WORDS: Words = Words {
    text: [0; WORDS_BYTES_MAX],
    pointers: [std::ptr::null(); WORDS_MAX + 1],
    errno: 0,
    stack: [0; STACK_BYTES],
};
const STACK_BYTES: usize = 32 * 1024;
const SIGNALS_MAX: libc::c_int = 64;

/// Ends this process as the program ended.
fn finish(end: End) -> ! {
    let code = match end {
        End::Code(code) => code,
        End::Signal(_) | End::Stop => {
            let signal = match end {
                End::Signal(signal) => signal,
                End::Code(_) | End::Stop => libc::SIGTERM,
            };
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
