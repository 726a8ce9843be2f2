//! The table of `process::role`, read off the running processes.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenkeel::ipc::control::Status;
use evenkeel::lab::node::Node;
use evenkeel::lab::pair::{Pair, Settings};
use evenkeel::lab::visitors::Crowd;
use evenkeel::process::role::Role;
use nix::sys::resource::Resource;
use nix::unistd::User;

/// The fields of one `/proc/PID/status`, or of one thread's.
struct Proc(String);

impl Proc {
    fn field(&self, name: &str) -> &str {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in:\n{}", self.0))
            .trim()
    }

    fn capabilities(&self, set: &str) -> u64 {
        u64::from_str_radix(self.field(set), 16).unwrap()
    }
}

/// Returns the status of every thread of a process.
fn threads(pid: u32) -> Vec<Proc> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
    statuses.map(|text| Proc(text.unwrap())).collect()
}

/// Returns field `number` (from 1, as in proc(5)) of a thread's `stat`.
fn stat_field(path: &Path, number: usize) -> i64 {
    let text = fs::read_to_string(path.join("stat")).unwrap();
    let after_name = text.rsplit_once(") ").unwrap().1;
    after_name
        .split(' ')
        .nth(number - 3)
        .unwrap()
        .parse()
        .unwrap()
}

fn pair() -> Pair {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
    Pair::start(Settings {
        binary,
        interval: Duration::from_millis(100),
        crowd: Crowd::NONE,
    })
    .unwrap()
}

/// Has a node keep the secret of a group, follow a name and show its status: so it has the process
/// that keeps keys, the one that looks names up, and the one with the status page.
fn add_all_processes(node: &mut Node) {
    let secret = node.config_path().with_file_name("group.key");
    fs::write(&secret, "0123456789abcdef".repeat(4)).unwrap();
    let yaml = fs::read_to_string(node.config_path()).unwrap();
    let group = format!("group: {{secret: {{file: {}}}}}\n", secret.display());
    let named = "pools:\n  named: {backends: {here: \"localhost:9\"}}\n";
    let yaml = yaml.replace("pools:\n", named);
    let admin = "admin: {listen: \"127.0.0.1:8404\"}\n";
    node.reload(&format!("{yaml}{group}{admin}")).unwrap();
    let is_found = |status: &Status| {
        let mut backends = status.pools.iter().flat_map(|pool| &pool.backends);
        backends.any(|backend| backend.name == "here/127.0.0.1")
    };
    node.wait_for("a name", Duration::from_secs(5), is_found)
        .unwrap();
    // It has confined itself when it has started a thread.
    let deadline = Instant::now() + Duration::from_secs(5);
    for name in [Role::Keys, Role::Admin].map(|role| role.profile().name) {
        while node.pid_of(name).is_none_or(|pid| threads(pid).len() < 2) {
            assert!(Instant::now() < deadline, "{name} has started no thread");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Returns whether user ids mean here what they mean on the machine; not so in a small user
/// namespace.
fn has_all_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace()
        .nth(2)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        > 65_534
}

const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const IPC_LOCK: u64 = 1 << 14;
const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

#[test]
fn every_thread_has_what_its_role_needs_and_no_more() {
    let mut pair = pair();
    let node = pair.node(0).unwrap();
    add_all_processes(node);
    let supervisor = node.process().pid();
    assert_eq!(threads(supervisor)[0].field("Name"), "evenkeel");

    let vrrp = node.pid_of(Role::Vrrp.profile().name).unwrap();
    let in_use = NET_ADMIN | NET_RAW | IPC_LOCK;
    for thread in threads(vrrp) {
        assert_eq!(thread.capabilities("CapEff"), in_use, "{}", thread.0);
        assert_eq!(
            thread.capabilities("CapPrm"),
            in_use,
            "SYS_NICE was for the start alone"
        );
        assert_eq!(thread.capabilities("CapInh"), 0);
        assert_eq!(thread.capabilities("CapAmb"), 0);
        assert_fenced(&thread);
        // The bounding set keeps SYS_NICE, which nothing can bring back without an exec.
        assert_eq!(
            thread.capabilities("CapBnd") & !(in_use | 1 << 23),
            0,
            "{}",
            thread.0
        );
    }

    let unprivileged = [Role::Proxy, Role::Keys, Role::Names, Role::Admin];
    let [proxy, keys, names, admin] = unprivileged.map(|role| {
        let pid = node.pid_of(role.profile().name).unwrap();
        threads(pid)
    });
    assert!(
        proxy.len() >= 3,
        "the workers and the main thread are looked at"
    );
    assert!(keys.len() >= 2, "also the one that reads files");
    // The proxy takes another where its own is missing.
    let keys_has_a_user = User::from_name("evenkeel-keys").unwrap().is_some();
    let proxy = proxy.into_iter().map(|thread| (thread, true));
    let keys = keys.into_iter().map(|thread| (thread, keys_has_a_user));
    assert!(admin.len() >= 2, "also the one that serves");
    // Nor are these ever root.
    let others = names.into_iter().chain(admin).map(|thread| (thread, true));
    for (thread, has_a_user) in proxy.chain(keys).chain(others) {
        for set in SETS {
            assert_eq!(thread.capabilities(set), 0, "{set} in\n{}", thread.0);
        }
        assert_fenced(&thread);
        if has_all_users() && has_a_user {
            let uids: Vec<&str> = thread.field("Uid").split_whitespace().collect();
            assert!(
                uids.iter().all(|uid| *uid != "0"),
                "a user of its own: {uids:?}"
            );
            assert_eq!(thread.field("Groups"), "");
        }
    }
}

/// No new privileges, and a filter of system calls.
fn assert_fenced(thread: &Proc) {
    assert_eq!(thread.field("NoNewPrivs"), "1", "{}", thread.0);
    assert_eq!(thread.field("Seccomp"), "2", "{}", thread.0);
    let filters = thread.field("Seccomp_filters").parse::<u32>().unwrap();
    assert!(filters >= 1, "{}", thread.0);
}

#[test]
fn limits_of_each_process_are_those_of_the_table() {
    let mut pair = pair();
    let node = pair.node(0).unwrap();
    add_all_processes(node);
    for role in Role::CHILDREN {
        let pid = node.pid_of(role.profile().name).unwrap();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        for limit in role.profile().limits.at_most {
            let names = [
                (Resource::RLIMIT_RTPRIO, "Max realtime priority"),
                (Resource::RLIMIT_NICE, "Max nice priority"),
                (Resource::RLIMIT_MEMLOCK, "Max locked memory"),
                (Resource::RLIMIT_CORE, "Max core file size"),
                (Resource::RLIMIT_NOFILE, "Max open files"),
                (Resource::RLIMIT_DATA, "Max data size"),
            ];
            let named = names
                .iter()
                .find(|(resource, _)| *resource == limit.resource);
            let (_, name) = named.expect("a name in /proc for each limit of the table");
            let line = limits.lines().find_map(|line| line.strip_prefix(*name));
            let mut words = line.unwrap().split_whitespace();
            for most in [limit.soft, limit.hard] {
                let now = words.next().unwrap().parse::<u64>().unwrap_or(u64::MAX);
                assert!(now <= most, "{name} of {role:?}: {now}, at most {most}");
            }
        }
        let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        let score = score.trim().parse::<i32>().unwrap();
        let least = role.profile().limits.oom_score_adj_min;
        assert!(
            least.is_none_or(|least| score >= least),
            "{role:?}: {score}"
        );
    }
    let mut warnings = node.status().unwrap().warnings;
    // How many files this machine lets a process open, how much memory it may lock, and which users
    // there are, is not the table's to say.
    let of_the_machine = [
        "limit of open files",
        "there is no user",
        "none of the users",
        "swap space",
    ];
    warnings.retain(|warning| !of_the_machine.iter().any(|it| warning.contains(it)));
    assert!(
        warnings.is_empty() || !has_all_users(),
        "nothing is lacking where everything can be had: {warnings:?}"
    );
}

#[test]
fn protocol_thread_is_realtime_and_its_memory_is_locked() {
    assert!(
        has_all_users(),
        "needs real root: realtime scheduling is not to be had in a user namespace"
    );
    let mut pair = pair();
    let vrrp = pair
        .node(0)
        .unwrap()
        .pid_of(Role::Vrrp.profile().name)
        .unwrap();
    let path = PathBuf::from(format!("/proc/{vrrp}"));
    assert_eq!(stat_field(&path, 41), 2, "SCHED_RR");
    assert_eq!(stat_field(&path, 40), 2, "at a low priority");
    let locked = threads(vrrp)[0]
        .field("VmLck")
        .split(' ')
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(locked > 0, "memory is locked");
    let proxy = pair
        .node(0)
        .unwrap()
        .pid_of(Role::Proxy.profile().name)
        .unwrap();
    assert_eq!(
        stat_field(&PathBuf::from(format!("/proc/{proxy}")), 41),
        0,
        "SCHED_OTHER"
    );
}

#[test]
fn proxy_has_no_socket_but_its_own() {
    let mut pair = pair();
    let node = pair.node(0).unwrap();
    let proxy = node.pid_of(Role::Proxy.profile().name).unwrap();
    let vrrp = node.pid_of(Role::Vrrp.profile().name).unwrap();
    let tables = ["raw", "raw6", "packet", "netlink"];
    let inodes = |pid: u32| -> Vec<u64> {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let inode = |link: PathBuf| {
            link.to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        };
        links.filter_map(inode).collect()
    };
    let in_tables = |pid: u32| -> usize {
        let own = inodes(pid);
        let listed = |table: &str| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        let text: Vec<String> = tables.map(listed).to_vec();
        let words = text.iter().flat_map(|text| text.split_whitespace());
        words
            .filter_map(|word| word.parse().ok())
            .filter(|inode| own.contains(inode))
            .count()
    };
    assert!(
        in_tables(vrrp) >= 3,
        "the vrrp process has raw, packet and netlink sockets"
    );
    assert_eq!(in_tables(proxy), 0, "the proxy has none of these");
    let listening = fs::read_to_string(format!("/proc/{vrrp}/net/tcp")).unwrap();
    let vrrp_sockets = inodes(vrrp);
    let is_vrrps = |word: &str| {
        word.parse()
            .is_ok_and(|inode: u64| vrrp_sockets.contains(&inode))
    };
    let tcp = listening
        .lines()
        .filter_map(|line| line.split_whitespace().nth(9));
    assert_eq!(
        tcp.filter(|inode| is_vrrps(inode)).count(),
        0,
        "the vrrp process speaks no TCP"
    );
}
