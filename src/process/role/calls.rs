//! The system calls that a fenced process has no use for, by what they would be good for.
//!
//! A list of what is denied, not of what is allowed: which calls a program makes is decided by its
//! C library, its runtime and their versions, and a call that is missing in such a list takes the
//! address down in production. What is on this list no part of the processes makes; the unit's
//! `SystemCallFilter` denies classes besides. A call that a newer kernel adds is not on it: the
//! capabilities, the user and landlock stand behind.

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// As in the C library's headers.
    pub name: &'static str,
    /// On this architecture.
    pub number: libc::c_long,
}

macro_rules! calls {
    ($($name:ident)*) => {
        &[$(Call { name: stringify!($name), number: libc::$name }),*]
    };
}

/// Starting programs and processes. Threads are made by `clone`, see `seccomp`.
pub(super) const PROGRAMS: &[Call] = calls![SYS_execve SYS_execveat];

/// Looking into other processes and telling them something.
pub(super) const OTHER_PROCESSES: &[Call] = calls![
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_process_mrelease
    SYS_pidfd_open SYS_pidfd_getfd SYS_pidfd_send_signal SYS_kcmp
    SYS_kill SYS_tkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo
    SYS_migrate_pages SYS_move_pages
    SYS_shmget SYS_shmat SYS_semget SYS_semtimedop SYS_msgget SYS_mq_open
];

/// Changing what landlock does not speak of: owner, mode, times and attributes of files; their size
/// by name.
pub(super) const FILES: &[Call] = calls![
    SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat
    SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr
    SYS_truncate SYS_name_to_handle_at SYS_open_by_handle_at SYS_fanotify_init
];

/// Namespaces and mounts. `clone` with a namespace is denied in `seccomp`.
pub(super) const NAMESPACES: &[Call] = calls![
    SYS_unshare SYS_setns SYS_chroot SYS_pivot_root SYS_mount SYS_umount2 SYS_mount_setattr
    SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick
];

/// Parts of the kernel that have been a way into it, or change the machine.
pub(super) const KERNEL: &[Call] = calls![
    SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_memfd_secret
    SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
    SYS_add_key SYS_request_key SYS_keyctl
    SYS_kexec_load SYS_kexec_file_load SYS_init_module SYS_finit_module SYS_delete_module
    SYS_quotactl SYS_quotactl_fd SYS_swapon SYS_swapoff SYS_acct SYS_reboot SYS_syslog SYS_vhangup
    SYS_sethostname SYS_setdomainname SYS_settimeofday SYS_clock_settime SYS_clock_adjtime
    SYS_adjtimex SYS_personality SYS_lookup_dcookie SYS_nfsservctl
];

/// Becoming another user.
pub(super) const IDENTITY: &[Call] = calls![
    SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid
    SYS_setfsgid SYS_setgroups
];

/// Reaching anybody over a network: what there is to talk to was there from the start.
pub(super) const NETWORK: &[Call] =
    calls![SYS_socket SYS_connect SYS_bind SYS_listen SYS_accept SYS_accept4];

/// Reaching anybody over a network, for who is asked only, on sockets that it was passed.
pub(super) const REACHING: &[Call] = calls![SYS_connect SYS_bind SYS_listen];

/// Being reached by anybody over a network, for who asks only.
pub(super) const LISTENING: &[Call] = calls![SYS_listen SYS_accept SYS_accept4];

/// Changing one's capabilities and place in the scheduler; the vrrp process does both.
pub(super) const RIGHTS: &[Call] = calls![
    SYS_capset SYS_sched_setscheduler SYS_sched_setparam SYS_sched_setattr SYS_setpriority
    SYS_ioprio_set
];

/// What only this architecture has, older forms of the above among them.
#[cfg(target_arch = "x86_64")]
pub(super) const OF_THIS_ARCHITECTURE: &[Call] = calls![
    SYS_fork SYS_vfork SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat
    SYS_iopl SYS_ioperm SYS_modify_ldt SYS_uselib SYS__sysctl
];
/// What only this architecture has.
#[cfg(not(target_arch = "x86_64"))]
pub const OF_THIS_ARCHITECTURE: &[Call] = &[];

/// Calls that the C library's headers do not name yet; the number is the same on every
/// architecture.
pub(super) const NEW: &[Call] = &[
    Call {
        name: "fchmodat2",
        number: 452,
    },
    Call {
        name: "setxattrat",
        number: 463,
    },
    Call {
        name: "removexattrat",
        number: 466,
    },
    Call {
        name: "open_tree_attr",
        number: 467,
    },
    Call {
        name: "file_setattr",
        number: 469,
    },
];
