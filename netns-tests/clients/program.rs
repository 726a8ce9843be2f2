//! Programs of Debian's packages on a host of the lab, with nothing of this machine's settings.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::process::Process;

/// A program and Debian's package that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    path: &'static str,
    package: &'static str,
}

impl Program {
    /// Returns how to start it, without the environment; fails with the package when it is missing.
    pub(super) fn command(self) -> Command {
        let Self { path, package } = self;
        assert!(
            Path::new(path).exists(),
            "`{path}` is needed: install Debian's package {package}"
        );
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs it to its end on a host and returns what it printed; fails with that when it fails.
    pub(super) fn run(self, host: &Host, arguments: &[&str]) -> String {
        let mut command = self.command();
        command.args(arguments);
        let mut process = host
            .spawn(command)
            .unwrap_or_else(|error| panic!("{error}"));
        let status = process
            .wait(PATIENCE)
            .unwrap_or_else(|error| panic!("{error}"));
        let log = process.log();
        assert!(status.success(), "{self:?} {arguments:?}: {status}\n{log}");
        log
    }
}

/// Starts Debian's Python on a script of this folder; fails with the package when a module of its
/// is missing.
pub(super) fn python(host: &Host, script: &str, arguments: &[String]) -> Process {
    host.spawn(python_command(script, arguments))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Returns how to start it.
pub(super) fn python_command(script: &str, arguments: &[String]) -> Command {
    require_modules();
    let mut command = PYTHON.command();
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("netns-tests/clients")
                .join(script),
        )
        .args(arguments);
    command
}

fn require_modules() {
    for (module, package) in MODULES {
        // Found, not loaded: that takes its time.
        let find =
            format!("import importlib.util as it, sys; sys.exit(not it.find_spec('{module}'))");
        let found = PYTHON
            .command()
            .args(["-c", &find])
            .output()
            .unwrap_or_else(|error| panic!("{PYTHON:?}: {error}"));
        assert!(
            found.status.success(),
            "Python's {module} is needed: install Debian's package {package}"
        );
    }
}

/// What asks for pages in every way.
pub(super) const CURL: Program = Program {
    path: "/usr/bin/curl",
    package: "curl",
};
/// Apache's load generator, which speaks HTTP/1.0.
pub(super) const AB: Program = Program {
    path: "/usr/bin/ab",
    package: "apache2-utils",
};
/// A load generator that speaks HTTP/1.1.
pub(super) const WRK: Program = Program {
    path: "/usr/bin/wrk",
    package: "wrk",
};
/// Clients that are slow on purpose.
pub(super) const SLOWHTTPTEST: Program = Program {
    path: "/usr/bin/slowhttptest",
    package: "slowhttptest",
};
/// A web server.
pub(super) const NGINX: Program = Program {
    path: "/usr/sbin/nginx",
    package: "nginx-light",
};
/// A balancer that speaks the PROXY protocol, whose authors have written it down.
pub(super) const HAPROXY: Program = Program {
    path: "/usr/sbin/haproxy",
    package: "haproxy",
};
/// A database, and what asks it.
pub(super) const REDIS: Program = Program {
    path: "/usr/bin/redis-server",
    package: "redis-server",
};
/// One command after another.
pub(super) const REDIS_CLI: Program = Program {
    path: "/usr/bin/redis-cli",
    package: "redis-tools",
};
/// Many at once.
pub(super) const REDIS_BENCHMARK: Program = Program {
    path: "/usr/bin/redis-benchmark",
    package: "redis-tools",
};
/// Debian's own, which has Debian's modules.
const PYTHON: Program = Program {
    path: "/usr/bin/python3",
    package: "python3",
};
/// Its modules that are not its own.
const MODULES: [(&str, &str); 3] = [
    ("websockets", "python3-websockets"),
    ("grpc", "python3-grpcio"),
    ("h2", "python3-h2"),
];
/// Longer than any of them takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
