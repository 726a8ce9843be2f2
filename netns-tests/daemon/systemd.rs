//! The unit under a real systemd: started, looked at, frozen, stopped.
//!
//! systemd is pid 1 of a root that is made of the host's /usr (`systemd/boot.sh`), on a host of the
//! lab and in a cgroup of its own; it is up in less than a second. What needs no service manager is
//! in `privileges`.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{park_timeout, spawn};
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::process::{self, Process};
use evenkeel::process::role::Role;
use nix::sys::signal::Signal;

/// A systemd and what it has started.
struct Machine {
    process: Process,
    cgroup: PathBuf,
    _config: tempfile::TempDir,
}

impl Machine {
    /// Boots on a host, with these files as /etc/evenkeel.
    fn boot(host: &Host, files: &[(&str, &str)]) -> Self {
        let config = tempfile::tempdir().unwrap();
        let (etc, root) = (config.path().join("etc"), config.path().join("root"));
        fs::create_dir(&etc).unwrap();
        fs::create_dir(&root).unwrap();
        for (name, text) in files {
            fs::write(etc.join(name), text).unwrap();
            let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
            fs::set_permissions(etc.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cgroup = cgroup_of(std::process::id());
        remove_leftovers(cgroup.parent().unwrap());
        fs::create_dir(&cgroup).unwrap();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo 0 >\"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&cgroup)
            .args(["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup"])
            .args(["--fork", "--kill-child=KILL"])
            .arg(package.join("netns-tests/daemon/systemd/boot.sh"))
            .args([
                &root,
                package,
                Path::new(env!("CARGO_BIN_EXE_evenkeel")),
                &etc,
            ]);
        let process = host.spawn(command).unwrap();
        let mut machine = Self {
            process,
            cgroup,
            _config: config,
        };
        machine.wait("systemd is up", |machine| {
            machine.says(&["systemctl", "is-system-running"]) == "running"
        });
        machine
    }

    /// Returns the process id of systemd, once it runs.
    fn init(&mut self) -> Option<u32> {
        let family = self.process.family().unwrap();
        let is_init = |pid: &u32| process::name_of(*pid).as_deref() == Some("systemd");
        family.into_iter().find(is_init)
    }

    /// Runs a command inside.
    fn run(&mut self, words: &[&str]) -> io::Result<Output> {
        let init = self.init().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--target"]);
        command.arg(init.to_string()).arg("--").args(words).output()
    }

    /// Returns what a command inside prints.
    fn says(&mut self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = |output: Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.map(text).unwrap_or_default()
    }

    fn systemctl(&mut self, words: &[&str]) {
        let output = self.run(&[&["systemctl"], words].concat()).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "systemctl {words:?}: {errors}\n{}",
            self.journal()
        );
    }

    fn property(&mut self, name: &str) -> String {
        self.says(&[
            "systemctl",
            "show",
            "--value",
            "--property",
            name,
            "evenkeel",
        ])
    }

    fn journal(&mut self) -> String {
        let unit = self.says(&["journalctl", "--unit=evenkeel", "--no-pager"]);
        format!("{unit}\n{}", self.process.log())
    }

    fn status(&mut self) -> serde_json::Value {
        let text = self.says(&["evenkeel", "status", "--json"]);
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn is_active(&mut self) -> bool {
        self.status()["virtual_routers"][0]["state"] == "Active"
    }

    /// Returns the process id, outside, of a process of the daemon.
    fn pid_of(&mut self, role: Role) -> Option<u32> {
        let family = self.process.family().unwrap();
        let name = role.profile().name;
        let mut named = family.into_iter();
        named.find(|pid| process::name_of(*pid).as_deref() == Some(name))
    }

    /// Returns the user id that the machine has for a name.
    fn uid_of(&mut self, name: &str) -> String {
        self.says(&["id", "-u", name])
    }

    fn wait(&mut self, hope: &str, mut ask: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ask(self) {
            assert!(
                Instant::now() < deadline,
                "in vain: {hope}\n{}",
                self.journal()
            );
            park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Everything that systemd has started is in there. The next test removes what remains.
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        let _ = self.process.kill_family();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !remove(&self.cgroup) && Instant::now() < deadline {
            park_timeout(Duration::from_millis(20));
        }
    }
}

#[test]
fn unit_keeps_its_promises_under_systemd() {
    assert!(
        fs::read_to_string("/proc/self/uid_map")
            .unwrap()
            .contains("4294967295"),
        "needs real root: systemd wants a cgroup, and users of the machine"
    );
    let began = Instant::now();
    let mut lab = Lab::new().unwrap();
    let host = lab.add_host("lb1", &["192.0.2.1/24"]).unwrap();
    let client = lab.add_host("client", &["192.0.2.9/24"]).unwrap();
    let _backend = SlowBackend::start(&client);
    let secret = "0123456789abcdef".repeat(4);
    let files = [
        ("evenkeel.yaml", CONFIG),
        ("notify.sh", NOTIFY),
        ("group.key", &secret),
    ];
    let mut machine = Machine::boot(&host, &files);
    machine.systemctl(&["start", "evenkeel"]);
    assert_eq!(machine.property("ActiveState"), "active");
    machine.wait("it is Active and its backend is up", |machine| {
        let status = machine.status();
        status["virtual_routers"][0]["state"] == "Active"
            && status["pools"][0]["backends"][0]["state"] == "up"
    });
    let warnings = &machine.status()["warnings"];
    assert_eq!(*warnings, serde_json::json!([]), "{}", machine.journal());
    processes_are_as_the_table_says(&mut machine);
    programs_have_their_own_user(&mut machine);
    watchdog_ends_a_frozen_supervisor(&mut machine);
    stop_lets_a_request_in_flight_end(&mut machine, &client);
    let journal = machine.journal();
    for line in [
        "starting",
        "ready",
        "Watchdog timeout",
        "stopping",
        "stopped",
    ] {
        assert!(journal.contains(line), "{line} in\n{journal}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Users, capabilities, filters, limits, scores: table, unit and kernel together.
fn processes_are_as_the_table_says(machine: &mut Machine) {
    let may_lower = status_field(machine.init().unwrap(), "CapEff");
    let may_lower = u64::from_str_radix(&may_lower, 16).unwrap() & SYS_RESOURCE != 0;
    let score_of_the_unit = if may_lower { "-800" } else { "0" };
    let filters = |pid| status_field(pid, "Seccomp_filters").parse::<u32>().unwrap();
    let supervisor = machine.pid_of(Role::Supervisor).unwrap();
    for (role, user, capabilities, score) in [
        (Role::Supervisor, "evenkeel", UNIT, score_of_the_unit),
        (
            Role::Vrrp,
            "evenkeel",
            NET_ADMIN | NET_RAW | IPC_LOCK,
            score_of_the_unit,
        ),
        (Role::Proxy, "evenkeel-proxy", 0, "0"),
        (Role::Keys, "evenkeel-keys", 0, score_of_the_unit),
        (Role::Names, "evenkeel-names", 0, "0"),
        (Role::Admin, "evenkeel-admin", 0, "500"),
    ] {
        let pid = machine.pid_of(role).unwrap();
        let field = |name| status_field(pid, name);
        let uid = machine.uid_of(user);
        assert_eq!(
            field("Uid"),
            [uid.as_str(); 4].join("\t"),
            "{role:?} is {user}"
        );
        assert_eq!(field("CapEff"), format!("{capabilities:016x}"), "{role:?}");
        assert_eq!(field("CapPrm"), format!("{capabilities:016x}"), "{role:?}");
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2", "{role:?}");
        let fenced = role.profile().fence.is_some();
        assert_eq!(
            filters(pid),
            filters(supervisor) + u32::from(fenced),
            "{role:?} has one more"
        );
        let oom_score_adj = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        assert_eq!(oom_score_adj.trim(), score, "{role:?}");
        // The files of a process that nobody may look into belong to root.
        let owner = fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid();
        assert_eq!(owner == 0, fenced, "{role:?}");
    }
    let vrrp = machine.pid_of(Role::Vrrp).unwrap();
    let stat = fs::read_to_string(format!("/proc/{vrrp}/stat")).unwrap();
    let policy = stat.rsplit_once(") ").unwrap().1.split(' ').nth(38);
    assert_eq!(policy, Some("2"), "SCHED_RR");
    let log = inside(supervisor, "/var/log/evenkeel/access.log");
    let mode = fs::metadata(log).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640, "its group reads the access log");
}

/// The program wrote what it has; each line begins with its state.
fn programs_have_their_own_user(machine: &mut Machine) {
    let supervisor = machine.pid_of(Role::Supervisor).unwrap();
    let told = inside(supervisor, "/tmp/told");
    machine.wait("a program has run", |_| {
        fs::read_to_string(&told).is_ok_and(|text| text.contains("end"))
    });
    let told = fs::read_to_string(&told).unwrap();
    for hoped in [
        "user evenkeel-notify",
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "oom_score_adj 0",
        "realtime Max realtime priority 0 0",
        "umask 0022",
    ] {
        assert!(told.contains(hoped), "{hoped} in\n{told}");
    }
}

/// S8: nobody watched the supervisor.
fn watchdog_ends_a_frozen_supervisor(machine: &mut Machine) {
    let before = machine.pid_of(Role::Supervisor).unwrap();
    process::send(before, Signal::SIGSTOP).unwrap();
    machine.wait("another supervisor runs and is Active", |machine| {
        machine.property("NRestarts") == "1"
            && machine
                .pid_of(Role::Supervisor)
                .is_some_and(|now| now != before)
            && machine.is_active()
    });
    assert!(process::name_of(before).is_none(), "the frozen one is gone");
}

fn stop_lets_a_request_in_flight_end(machine: &mut Machine, client: &Arc<Host>) {
    machine.wait("the backend is up again", |machine| {
        machine.status()["pools"][0]["backends"][0]["state"] == "up"
    });
    let answer = ask(client, "/slow");
    machine.wait("the request is in flight", |machine| {
        machine.status()["pools"][0]["backends"][0]["active_requests"] == 1
    });
    machine.systemctl(&["stop", "evenkeel"]);
    let answer = answer.recv_timeout(PATIENCE).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("whole"),
        "{answer:?}\n{}",
        machine.journal()
    );
    assert_eq!(
        machine.property("ActiveState"),
        "inactive",
        "{}",
        machine.journal()
    );
    assert_eq!(machine.property("Result"), "success");
    assert_eq!(machine.property("ExecMainStatus"), "0");
    assert_eq!(machine.pid_of(Role::Vrrp), None);
    assert_eq!(machine.pid_of(Role::Proxy), None);
}

/// Asks the listener on the node's own address, which stays when the virtual one goes; the whole
/// answer comes over the channel.
fn ask(client: &Arc<Host>, path: &'static str) -> Receiver<String> {
    let (tell, answer) = sync_channel(1);
    let body = move || {
        let exchange = || -> io::Result<String> {
            let mut stream = TcpStream::connect("192.0.2.1:8080")?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let _ = tell.send(exchange().unwrap_or_else(|error| error.to_string()));
    };
    client.thread("asks", body).unwrap();
    answer
}

/// A backend that answers at once, but for /slow.
struct SlowBackend(Arc<TcpListener>);

impl SlowBackend {
    fn start(host: &Host) -> Self {
        let bind = || TcpListener::bind(BACKEND.parse::<SocketAddr>().unwrap());
        let listener = Arc::new(host.try_run("listen", bind).unwrap());
        let accepting = listener.clone();
        let serve = move || {
            while let Ok((stream, _)) = accepting.accept() {
                spawn(move || answer(stream));
            }
        };
        host.thread("slow-backend", serve).unwrap();
        Self(listener)
    }
}

impl Drop for SlowBackend {
    fn drop(&mut self) {
        // Ends the thread that accepts.
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.0),
            nix::sys::socket::Shutdown::Both,
        );
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if head.starts_with(b"GET /slow ") {
        let until = Instant::now() + ANSWER_TIME;
        while Instant::now() < until {
            park_timeout(until - Instant::now());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole")
}

fn status_field(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .trim()
        .to_owned()
}

/// Returns the way to a file as a process sees it.
fn inside(pid: u32, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{path}"))
}

/// Returns the cgroup that a test of this process id has for its machine.
fn cgroup_of(pid: u32) -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut lines = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.find(|words| words.get(2) == Some(&"cgroup2"));
    let root = found.expect("needs a cgroup2 file system to be mounted")[1];
    Path::new(root).join(format!("{CGROUP}{pid}"))
}

/// Removes the empty cgroups of tests that were killed; the kernel has killed what was in them.
fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(CGROUP).map(|pid| format!("/proc/{pid}"));
        if pid.is_some_and(|pid| !Path::new(&pid).exists()) {
            remove(&entry.path());
        }
    }
}

/// Removes a cgroup and those in it; false while something is left.
fn remove(cgroup: &Path) -> bool {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    let _ = fs::remove_dir(cgroup);
    !cgroup.exists()
}

const PATIENCE: Duration = Duration::from_secs(20);
const ANSWER_TIME: Duration = Duration::from_secs(2);
const CGROUP: &str = "evenkeel-test-";
const BACKEND: &str = "192.0.2.9:8000";
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const IPC_LOCK: u64 = 1 << 14;
const SYS_RESOURCE: u64 = 1 << 24;
/// KILL, SETGID, SETUID, NET_BIND_SERVICE and SYS_NICE besides.
const UNIT: u64 = NET_ADMIN | NET_RAW | IPC_LOCK | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 23;

const CONFIG: &str = "\
virtual_routers:
  web:
    interface: eth0
    vrid: 51
    virtual_mac: true
    addresses: [192.0.2.100/24]
    advertisement_interval: 100ms
    notify: [/etc/evenkeel/notify.sh]
proxy: {limits: {connections: 200}}
listeners:
  http: {virtual_router: web, port: 80, pool: web}
  own: {bind: [\"192.0.2.1:8080\"], pool: web}
pools:
  web: {backends: {a: \"192.0.2.9:8000\"}}
  named: {backends: {b: \"localhost:8000\"}}
access_log: {to: /var/log/evenkeel/access.log}
group: {secret: {file: /etc/evenkeel/group.key}}
admin: {listen: \"127.0.0.1:8404\"}
";

const NOTIFY: &str = "\
#!/bin/sh
{
    echo user $(id -un) told \"$@\"
    grep Cap /proc/self/status
    echo oom_score_adj $(cat /proc/self/oom_score_adj)
    echo realtime $(grep 'realtime priority' /proc/self/limits)
    echo umask $(umask)
    echo end
} >>/tmp/told
";
