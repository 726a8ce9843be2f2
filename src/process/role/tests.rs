//! What holds for every row of the table, tried in processes that are confined.
//!
//! Each of these processes is a fork of the test that confines itself, tries, and says through a
//! pipe what went wrong. They need no privilege; with it they are what the daemon's processes are
//! when root starts them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};

use super::*;

#[test]
fn child_knows_its_role_by_its_name() {
    for role in Role::CHILDREN {
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
fn the_proxy_and_who_keeps_keys_or_looks_names_up_have_no_capability() {
    for role in [Role::Proxy, Role::Keys, Role::Names] {
        assert_eq!(role.profile().capabilities.map(<[_]>::len), Some(0));
    }
}

#[test]
fn processes_without_a_right_and_programs_have_different_users() {
    let all = [
        users::PROXY[0],
        users::KEYS[0],
        users::NAMES[0],
        users::NOTIFY,
    ];
    let different: std::collections::BTreeSet<&str> = all.into_iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(
        users::PROXY[1],
        users::NOBODY,
        "where programs fall back to"
    );
}

/// An errno that no kernel gives by itself: it is the filter that answers, not a missing right.
#[test]
fn filter_answers_every_denied_call() {
    for role in Role::CHILDREN {
        in_a_child(|| {
            let calls = role.profile().fence.unwrap().calls;
            prctl::set_no_new_privs().unwrap();
            let filter =
                seccomp::Filter::new(&calls, Identity::Own, std::process::id(), libc::EHWPOISON);
            filter.unwrap().install().unwrap();
            let denied: Vec<Call> = calls.denied.iter().copied().flatten().copied().collect();
            assert!(denied.len() > 70, "the list is not empty: {}", denied.len());
            for call in denied {
                let answer = try_call(call.number, [usize::MAX; 6]);
                assert_eq!(answer, Err(libc::EHWPOISON), "{} of {role:?}", call.name);
            }
        });
    }
}

#[test]
fn denied_calls_are_not_permitted_after_confine() {
    for role in Role::CHILDREN {
        in_a_child(|| {
            confine(role).unwrap();
            for call in role
                .profile()
                .fence
                .unwrap()
                .calls
                .denied
                .iter()
                .copied()
                .flatten()
            {
                let answer = try_call(call.number, [usize::MAX; 6]);
                assert_eq!(answer, Err(libc::EPERM), "{} of {role:?}", call.name);
            }
        });
    }
}

#[test]
fn confined_process_makes_threads_but_no_process_and_no_namespace() {
    for role in Role::CHILDREN {
        in_a_child(|| {
            confine(role).unwrap();
            assert_eq!(try_call(libc::SYS_clone3, [0; 6]), Err(libc::ENOSYS));
            let thread = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
            for flags in [
                libc::SIGCHLD,
                thread | libc::CLONE_NEWNET,
                libc::CLONE_NEWUSER,
            ] {
                let answer = try_call(libc::SYS_clone, [flags as usize, 0, 0, 0, 0, 0]);
                assert_eq!(answer, Err(libc::EPERM), "flags {flags:#x} of {role:?}");
            }
            assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
        });
    }
}

#[test]
fn confined_process_signals_itself_alone() {
    let outside = std::process::id() as usize;
    for role in Role::CHILDREN {
        in_a_child(|| {
            confine(role).unwrap();
            let own = std::process::id() as usize;
            let signal_0 = |pid| try_call(libc::SYS_tgkill, [pid, pid, 0, 0, 0, 0]);
            assert_eq!(signal_0(own), Ok(0), "{role:?} itself");
            assert_eq!(signal_0(outside), Err(libc::EPERM), "{role:?} another");
        });
    }
}

#[test]
fn confined_process_opens_sockets_of_its_families_alone() {
    let all = 1..=libc::AF_XDP;
    for role in Role::CHILDREN {
        in_a_child(|| {
            let kept = confine(role).unwrap();
            let kept = kept.iter().any(|what| what.contains("keeps its user id"));
            let user = match kept {
                true => Identity::AsStarted,
                false => Identity::Own,
            };
            let families = role.profile().fence.unwrap().calls.families_of(user);
            // As the daemon's user it could ask the daemon itself.
            let asks_anybody = families.contains(&libc::AF_UNIX);
            assert_eq!(asks_anybody, role == Role::Names && user == Identity::Own);
            for family in all.clone().filter(|family| !families.contains(family)) {
                let kind = libc::SOCK_DGRAM as usize;
                let answer = try_call(libc::SYS_socket, [family as usize, kind, 0, 0, 0, 0]);
                assert_eq!(answer, Err(libc::EPERM), "family {family} of {role:?}");
            }
            if families.contains(&libc::AF_INET) {
                UdpSocket::bind("127.0.0.1:0").unwrap();
            }
            std::os::unix::net::UnixStream::pair().unwrap();
        });
    }
}

/// As who obeys the daemon's user would obey it.
#[test]
fn nobody_asks_others_of_this_machine_as_the_daemon() {
    for role in Role::CHILDREN {
        let calls = role.profile().fence.unwrap().calls;
        let families = calls.families_of(Identity::AsStarted);
        assert!(!families.contains(&libc::AF_UNIX), "{role:?}");
    }
    let names = Role::Names.profile();
    assert_eq!(names.users.last(), Some(&users::NOBODY), "it is never root");
}

#[test]
fn who_looks_names_up_has_a_whole_resolver_and_reads_nothing_else() {
    in_a_child(|| {
        confine(Role::Names).unwrap();
        for allowed in RESOLVER {
            // Whether it is there, and can be read by everybody, is the machine's to say.
            let is_file = fs::metadata(allowed.path).is_ok_and(|it| it.is_file());
            if is_file && allowed.path.starts_with("/etc/") {
                File::open(allowed.path).expect(allowed.path);
            }
        }
        let maps = fs::read_to_string("/proc/self/maps").unwrap_err();
        assert_eq!(maps.kind(), io::ErrorKind::PermissionDenied);
        let mut found = ("localhost", 80).to_socket_addrs().unwrap();
        assert!(found.any(|address| address.ip().is_loopback()));
        for denied in [
            "/etc/passwd",
            "/etc/shadow",
            "/etc/machine-id",
            "/etc/fstab",
        ] {
            if let Err(error) = File::open(denied) {
                let hoped = [io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound];
                assert!(hoped.contains(&error.kind()), "{denied}: {error}");
            } else {
                panic!("{denied} can be read");
            }
        }
    });
}

/// S22 of the review: truncating, reading, listening; and all of it for the vrrp process too.
#[test]
fn confined_process_reaches_no_file_but_its_places() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, new) = (folder.path().join("file"), folder.path().join("new"));
    fs::write(&inside, "text").unwrap();
    let abi = landlock::Abi::of_this_kernel().expect("this test needs a kernel with landlock");
    let whole = abi.lacks().is_empty();
    for role in Role::CHILDREN {
        in_a_child(|| {
            confine(role).unwrap();
            let denied = |what: &str, result: io::Result<()>| {
                let errno = result.map_err(|error| error.raw_os_error());
                let hoped = [Err(Some(libc::EACCES)), Err(Some(libc::EPERM))];
                assert!(hoped.contains(&errno), "{what} of {role:?}: {errno:?}");
            };
            let truncating = OpenOptions::new().write(true).truncate(true).open(&inside);
            denied("reading", File::open("/etc/passwd").map(drop));
            denied("reading a directory", fs::read_dir("/").map(drop));
            denied(
                "writing",
                OpenOptions::new().write(true).open(&inside).map(drop),
            );
            denied("opening a device", File::open("/dev/null").map(drop));
            denied("truncating", truncating.map(drop));
            denied("making", File::create(&new).map(drop));
            denied("removing", fs::remove_file(&inside));
            denied("renaming", fs::rename(&inside, &new));
            if whole {
                denied("listening", TcpListener::bind("127.0.0.1:0").map(drop));
            }
            File::open("/proc/self/exe").expect("its own program");
        });
    }
    assert_eq!(fs::read_to_string(&inside).unwrap(), "text");
}

#[test]
fn vrrp_reads_and_writes_settings_of_interfaces_and_no_others() {
    in_a_child(|| {
        confine(Role::Vrrp).unwrap();
        let setting = "/proc/sys/net/ipv4/conf/all/arp_ignore";
        fs::read_to_string(setting).expect("a setting is read");
        let writing = OpenOptions::new().write(true).truncate(true).open(setting);
        let kind = writing.map(drop).map_err(|error| error.kind());
        // Root's where this test is root and may write at all, as it is in the daemon's place.
        if nix::unistd::Uid::effective().is_root() {
            assert!(
                matches!(kind, Ok(()) | Err(io::ErrorKind::ReadOnlyFilesystem)),
                "{kind:?}"
            );
        }
        let other = File::open("/proc/sys/net/ipv4/ip_forward").map(drop);
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
    in_a_child(|| {
        confine(Role::Proxy).unwrap();
        let setting = File::open("/proc/sys/net/ipv4/conf/all/arp_ignore").map(drop);
        assert_eq!(setting.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn proxy_connects_and_vrrp_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let whole = landlock::Abi::of_this_kernel().is_ok_and(|abi| abi.lacks().is_empty());
    in_a_child(|| {
        confine(Role::Proxy).unwrap();
        TcpStream::connect(to).unwrap();
    });
    in_a_child(|| {
        confine(Role::Vrrp).unwrap();
        let refused = TcpStream::connect(to)
            .map(drop)
            .map_err(|error| error.kind());
        assert_eq!(
            refused.is_err(),
            whole,
            "where the kernel can deny it: {refused:?}"
        );
    });
}

/// S15: what the unit gives for the vrrp process.
#[test]
fn proxy_gives_back_what_it_inherits_for_the_vrrp_process() {
    in_a_child(|| {
        confine(Role::Proxy).unwrap();
        for limit in Role::Proxy.profile().limits.at_most {
            let limits = nix::sys::resource::getrlimit(limit.resource).unwrap();
            assert_eq!(limits, (0, 0), "{:?}", limit.resource);
        }
    });
    assert_eq!(Role::Proxy.profile().limits.oom_score_adj_min, Some(0));
    assert_eq!(Role::Vrrp.profile().limits.oom_score_adj_min, None);
}

/// From where the test stands: to go below it needs a right.
#[test]
fn oom_score_adj_is_raised_and_never_lowered() {
    in_a_child(|| {
        let score = || {
            let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
            text.trim().parse::<i32>().unwrap()
        };
        let higher = (score() + 50).min(1000);
        limits::raise_oom_score_adj(higher).unwrap();
        assert_eq!(score(), higher);
        limits::raise_oom_score_adj(higher - 1).unwrap();
        assert_eq!(score(), higher, "who is killed sooner stays so");
    });
}

/// S24: eight capabilities stayed in the inheritable set. A program of root would have kept all of
/// them.
#[test]
fn program_has_no_capability_no_right_and_no_way_to_one() {
    let mut command = Command::new("/bin/cat");
    command.args([
        "/proc/self/status",
        "/proc/self/limits",
        "/proc/self/oom_score_adj",
    ]);
    run_unprivileged(&mut command, &ProgramUser::of_notify_programs());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let has = |line: &str| {
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().any(|other| squeezed(other) == line)
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(has(&format!("{set}: 0000000000000000")), "{set} in\n{text}");
    }
    for line in [
        "NoNewPrivs: 1",
        "Umask: 0022",
        "Max core file size 0 0 bytes",
        "Max locked memory 0 0 bytes",
        "Max nice priority 0 0",
        "Max realtime priority 0 0",
        "Max open files 1024 4096 files",
    ] {
        assert!(has(line), "{line} in\n{text}");
    }
    let score = text.lines().last().unwrap().parse::<i32>().unwrap();
    assert!(score >= 0, "{score}");
}

/// Forks, runs `body` in the child, and fails with what it panicked with.
fn in_a_child(body: impl FnOnce()) {
    let (mut said, tell) = pipe()
        .map(|(read, write)| (File::from(read), File::from(write)))
        .unwrap();
    // SAFETY: the C library's allocator is usable after fork; the child runs `body` alone and
    // leaves by `_exit`.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            drop(said);
            let panic = catch_unwind(AssertUnwindSafe(body)).err();
            let text = panic.map(|panic| match panic.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => panic
                    .downcast_ref::<&str>()
                    .map_or("panic", |text| *text)
                    .to_owned(),
            });
            let mut tell = tell;
            let _ = tell.write_all(text.unwrap_or_default().as_bytes());
            // SAFETY: ends the child without the destructors and exit handlers of the test.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(tell);
            let mut text = String::new();
            said.read_to_string(&mut text).unwrap();
            let ended = waitpid(child, None).unwrap();
            assert_eq!(text, "", "in the child");
            assert_eq!(ended, WaitStatus::Exited(child, 0));
        }
    }
}

/// Makes a system call; an errno where it was refused.
fn try_call(number: libc::c_long, arguments: [usize; 6]) -> Result<libc::c_long, libc::c_int> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the filter refuses before an argument is looked at; where it does not, no argument is
    // an address.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        Err(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(result)
    }
}
