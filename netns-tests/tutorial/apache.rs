//! Debian's Apache on a host of the lab: a few pages, a cookie, an application with sessions, and
//! a log of who asked.
//!
//! The application (`counter.sh`) counts the requests of each session in a file of this Apache's
//! own, as PHP keeps sessions: another Apache knows nothing of them.
//!
//! It runs as Debian's www-data. Where that user does not exist, as in a user namespace with a
//! single user, it runs in a user namespace of its own, whose only user has www-data's number:
//! Apache refuses to serve as root.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::process::{self, Process};
use evenkeel::lab::scratch::ScratchDir;
use nix::sys::signal::Signal;

/// A running Apache.
#[derive(Debug)]
pub(crate) struct Apache {
    process: Process,
    scratch: ScratchDir,
}

/// A line of its log about a page.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `X-Forwarded-For` of the request.
    pub forwarded_for: String,
    /// Where the connection came from.
    pub peer: String,
    /// The status of the answer.
    pub status: String,
    /// The visitor's cookie; `-` without one.
    pub cookie: String,
}

impl Apache {
    /// Starts an Apache with pages `/0.txt` and so on, each saying its number and the Apache's
    /// name.
    pub(crate) fn start(host: &Host, name: &str, port: u16, pages: usize) -> Self {
        require_apache();
        let scratch = ScratchDir::new().expect("a directory");
        let (documents, own) = (scratch.path().join("www"), scratch.path().join("own"));
        let sessions = own.join("sessions");
        for directory in [&documents, &own, &sessions] {
            fs::create_dir(directory).expect("a directory");
        }
        give_to_www_data(&sessions);
        for page in 0..pages {
            fs::write(
                documents.join(format!("{page}.txt")),
                format!("{page} {name}\n"),
            )
            .expect("a page");
        }
        fs::write(documents.join("index.html"), name).expect("a page");
        // Not where the sources are: www-data need not be able to go there.
        let counter = scratch.path().join("counter.sh");
        fs::write(&counter, include_str!("counter.sh")).expect("a script");
        fs::set_permissions(&counter, Permissions::from_mode(0o755)).expect("a script that runs");
        let configuration = configuration(scratch.path(), name, port);
        fs::write(scratch.path().join(FILE), configuration).expect("a configuration");
        host.set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")
            .expect("an ordinary user may listen on port 80");
        let process = spawn(host, scratch.path());
        Self { process, scratch }
    }

    /// Starts it again after [`Apache::kill`]; the sessions that it had are still there.
    pub(crate) fn start_again(&mut self, host: &Host) {
        // The number in it may be another process's by now.
        fs::remove_file(self.scratch.path().join("own/apache2.pid")).expect("it was killed");
        self.process = spawn(host, self.scratch.path());
    }

    /// Kills all its processes at one stroke, the first first: who accepts connections is to be
    /// gone before who answers.
    pub(crate) fn kill(&mut self) {
        self.process
            .check_runs()
            .unwrap_or_else(|error| panic!("{error}\n{}", self.errors()));
        let family = self.process.family().expect("it runs");
        for pid in &family {
            process::send(*pid, Signal::SIGKILL).expect("apache2 dies");
        }
        // Scripts that were started meanwhile.
        self.process.kill_family().expect("apache2 dies");
        let deadline = Instant::now() + STOP_MAX;
        while family.iter().any(|pid| process::runs(*pid)) {
            assert!(Instant::now() < deadline, "{family:?} are killed");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it as an administrator does, and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.process
            .check_runs()
            .unwrap_or_else(|error| panic!("{error}\n{}", self.errors()));
        self.process.terminate().expect("apache2 can be stopped");
        self.process.wait(STOP_MAX).expect("apache2 stops");
    }

    /// Returns what its log says of pages; health checks ask for none.
    pub(crate) fn pages(&self) -> Vec<Entry> {
        let path = self.scratch.path().join("own/access.log");
        let log = fs::read_to_string(path).unwrap_or_default();
        // A line that is being written is no entry yet.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().filter_map(entry).collect()
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.scratch.path().join("own/error.log")).unwrap_or_default()
    }
}

/// Reads `192.0.2.9|192.0.2.1|GET /1.txt HTTP/1.1|200|visitor=t=1`.
fn entry(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split('|').collect();
    let [forwarded_for, peer, request, status, cookie] = fields[..] else {
        panic!("not a line of this log: {line}");
    };
    request.contains(".txt").then(|| Entry {
        forwarded_for: forwarded_for.to_owned(),
        peer: peer.to_owned(),
        status: status.to_owned(),
        cookie: cookie.to_owned(),
    })
}

fn spawn(host: &Host, root: &Path) -> Process {
    let command = command(&root.join(FILE), &root.join("own"));
    host.spawn(command).expect("apache2 starts")
}

/// Fails with the package when it is missing.
pub(crate) fn require_apache() {
    match Command::new(APACHE).arg("-v").output() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("`{APACHE}` is needed: install Debian's package apache2")
        }
        Err(error) => panic!("{APACHE}: {error}"),
    }
}

/// Returns how to start it as www-data, who gets the directory.
pub(crate) fn command(file: &Path, own: &Path) -> Command {
    give_to_www_data(own);
    let mut command = if has_user(WWW_DATA) {
        let mut command = Command::new(APACHE);
        command.uid(WWW_DATA).gid(WWW_DATA);
        command
    } else {
        let mut command = Command::new("unshare");
        command.arg("--user");
        command.arg(format!("--map-user={WWW_DATA}"));
        command.arg(format!("--map-group={WWW_DATA}"));
        command.arg(APACHE);
        command
    };
    command.arg("-f").arg(file).arg("-DFOREGROUND");
    command
}

/// Gives a directory to Apache's user, where that is another than this one.
fn give_to_www_data(directory: &Path) {
    if has_user(WWW_DATA) {
        chown(directory, Some(WWW_DATA), Some(WWW_DATA)).expect("a directory of www-data");
    }
}

/// Whether a user's number means anything in this user namespace.
fn has_user(uid: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("every kernel has it");
    map.lines().any(|line| {
        let mut numbers = line
            .split_whitespace()
            .map(|n| n.parse::<u64>().unwrap_or(0));
        let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
        let uid = u64::from(uid);
        first
            .zip(count)
            .is_some_and(|(first, count)| (first..first + count).contains(&uid))
    })
}

/// The least that serves files and runs a script; every visitor to a file gets a cookie and is told
/// which one came.
fn configuration(root: &Path, name: &str, port: u16) -> String {
    let root = root.display();
    let modules: String = [
        "mpm_event",
        "authz_core",
        "dir",
        "mime",
        "headers",
        "alias",
        "env",
        "cgid",
    ]
    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
    .concat();
    format!(
        r#"ServerRoot {root}
ServerName localhost
PidFile {root}/own/apache2.pid
DefaultRuntimeDir {root}/own
Mutex file:{root}/own
ErrorLog {root}/own/error.log
Listen {port}
{modules}
TypesConfig /dev/null
DocumentRoot {root}/www
DirectoryIndex index.html
KeepAlive On
MaxKeepAliveRequests 0
StartServers 1
ThreadsPerChild 25
<Files "*.txt">
    Header set Set-Cookie "visitor=%t; Path=/" "expr=-z %{{HTTP_COOKIE}}"
    Header set X-Seen-Cookie "expr=%{{HTTP_COOKIE}}" "expr=-n %{{HTTP_COOKIE}}"
</Files>
ScriptSock {root}/own/cgid
ScriptAlias /counter {root}/counter.sh
SetEnv SESSIONS {root}/own/sessions
SetEnv SERVER {name}
LogFormat "%{{X-Forwarded-For}}i|%h|%r|%>s|%{{Cookie}}i" visitors
CustomLog {root}/own/access.log visitors
"#
    )
}

const FILE: &str = "apache2.conf";
const APACHE: &str = "/usr/sbin/apache2";
/// Debian's user and group for web servers, the same number everywhere.
const WWW_DATA: u32 = 33;
/// Apache waits some seconds for its children.
const STOP_MAX: Duration = Duration::from_secs(10);
