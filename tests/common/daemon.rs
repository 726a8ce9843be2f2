//! A daemon without privileges, as a person starts it: one listener on loopback, one backend.

#![expect(dead_code, reason = "no test needs all of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel::ipc::control::{Request, Response, Status, ask};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running daemon with one listener and one backend; it is killed when the test ends.
pub(crate) struct Daemon {
    pub(crate) process: Child,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) listen: SocketAddr,
}

impl Daemon {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one whose configuration has these lines besides; `DIR` is its directory.
    pub(crate) fn start_with(lines: &str) -> Self {
        Self::launch(evenkeel(), lines, "")
    }

    /// As `start_with`, by this command and with these pools besides.
    pub(crate) fn launch(command: Command, lines: &str, pools: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listen = free_address();
        let lines = lines.replace("DIR", directory.path().to_str().unwrap());
        let config = format!(
            "{lines}listeners:\n  http:\n    bind: [\"{listen}\"]\n    pool: webfarm\n\
             pools:\n  webfarm:\n    backends: {{one: {{address: \"{}\", requests: 50}}}}\n    health_check: {{tcp: {{}}, interval: 100ms}}\n\
             {pools}proxy: {{threads: 2}}\n",
            backend()
        );
        Self::launch_in(directory, command, listen, &config)
    }

    /// Starts one with this configuration, whose listener answers on `listen`, in a directory that
    /// has whatever it needs.
    pub(crate) fn launch_in(
        directory: tempfile::TempDir,
        mut command: Command,
        listen: SocketAddr,
        config: &str,
    ) -> Self {
        fs::write(directory.path().join("evenkeel.yaml"), config).unwrap();
        let daemon = Self {
            process: run(&mut command, &directory),
            directory,
            listen,
        };
        daemon.wait("the listener answers", |daemon| daemon.get().is_some());
        daemon
    }

    /// Stops it, and starts another one in its place.
    pub(crate) fn restart(&mut self) {
        self.signal(Signal::SIGTERM);
        self.process.wait().unwrap();
        self.process = run(&mut evenkeel(), &self.directory);
        self.wait("it answers", |daemon| daemon.status().is_some());
    }

    /// Returns where its control socket is.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Returns the body of a fresh request, if it is answered.
    pub(crate) fn get(&self) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.listen, Duration::from_secs(1)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.starts_with("HTTP/1.1 200")
            .then(|| text.split("\r\n\r\n").nth(1).unwrap().to_owned())
    }

    /// Returns its status, if it answers.
    pub(crate) fn status(&self) -> Option<Status> {
        match ask(
            &self.runtime_dir(),
            &Request::Status,
            Duration::from_secs(3),
        )
        .ok()?
        {
            Response::Status(status) => Some(*status),
            Response::Events(_)
            | Response::Changed(_)
            | Response::Configuration(_)
            | Response::OverSocket
            | Response::Refused(_)
            | Response::Error(_) => None,
        }
    }

    /// Sends a signal to the supervisor.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Returns the lines of a file in its directory; none where it is not there.
    pub(crate) fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Returns the process of this name, if it runs.
    pub(crate) fn pid(&self, name: &str) -> Option<Pid> {
        let status = self.status()?;
        let process = status
            .processes
            .iter()
            .find(|process| process.name == name)?;
        process
            .pid
            .map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()))
    }

    /// Waits until something is so.
    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: not within 10 s");
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

fn run(command: &mut Command, directory: &tempfile::TempDir) -> Child {
    command
        .arg("run")
        .arg("--config")
        .arg(directory.path().join("evenkeel.yaml"))
        .args(["--node", "lb1", "--runtime-dir"])
        .arg(directory.path().join("run"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the program.
pub(crate) fn evenkeel() -> Command {
    let built = env!("CARGO_BIN_EXE_evenkeel");
    Command::new(std::env::var("EVENKEEL_BINARY").unwrap_or_else(|_| built.to_owned()))
}

/// Returns an address of loopback that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Starts a backend that says hello for as long as the test runs.
pub(crate) fn backend() -> SocketAddr {
    backend_saying("hello")
}

/// Starts one that says this.
pub(crate) fn backend_saying(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut head = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while head.read_line(&mut line).is_ok_and(|len| len > 2) {
                    line.clear();
                }
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    address
}
