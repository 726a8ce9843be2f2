//! The commands, one file each, and the reading of their arguments.
//!
//! [`run`] gets the arguments and returns the exit code: 0 done, 1 failed, 2 usage, 78 a bad
//! configuration. The usage text is the list of flags; `tests/documents.rs` holds the manual to it.

mod change;
pub mod check;
mod cleanup;
mod daemon;
pub mod demo;
mod events;
pub mod import;
mod maintenance;
mod outcome;
mod status;

use std::path::PathBuf;

use change::Mode;
use events::Until;

use crate::ipc::control::{BackendChange, MaintenanceChange};

pub use outcome::{EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, EXIT_USAGE, Output, print_error};

/// What `evenkeel --help` prints; the manual has the same flags.
pub const USAGE: &str = "\
usage: evenkeel run [--config FILE] [--node NAME] [--runtime-dir DIR]
                [--cache-dir DIR]
       evenkeel check [--config FILE] [--node NAME]
       evenkeel status [--json] [--runtime-dir DIR]
       evenkeel reload [--config FILE] [--dry-run] [--json] [--runtime-dir DIR]
       evenkeel backend POOL/NAME drain|maintain|up|weight N|remove|reset
                [--json] [--runtime-dir DIR]
       evenkeel backend add POOL NAME ADDRESS [--json] [--runtime-dir DIR]
       evenkeel router NAME priority N|reset [--json] [--runtime-dir DIR]
       evenkeel maintenance LISTENER [on [--retry-after TIME] | off]
                [--json] [--runtime-dir DIR]
       evenkeel events [--json] [--follow] [--runtime-dir DIR]
       evenkeel demo [--json] [--visitors N]
       evenkeel cleanup
       evenkeel import [FILE ...] [--node NAME=FILE ...]
       evenkeel --version | --help

  run     run the daemon in the foreground until SIGTERM
  check   say what a configuration means for this node, or all that is wrong with it
  status  ask the running daemon how everything is
  reload  have the running daemon follow its configuration as it is now, or another one
  backend change a backend until `reset`, a reboot, or its end in the configuration
  router  change the base priority of a virtual router, likewise
  maintenance answer a listener's clients 503, likewise, or say whether that is so
  events  print every change of state, in order, with its cause
  demo    build a failover pair in network namespaces, break it, and measure
  cleanup take away what a daemon that was killed has left on this machine
  import  print a configuration made of those of keepalived, HAProxy, Perlbal or heartbeat

  --config FILE      the configuration (/etc/evenkeel/evenkeel.yaml)
  --node NAME        who this machine is (the key `node`, else the host name)
  --node NAME=FILE   whose file of keepalived this is (import), once for each node
  --runtime-dir DIR  where the control socket lives (/run/evenkeel)
  --cache-dir DIR    where bodies of requests are kept (`buffer_requests`;
                     $CACHE_DIRECTORY, else /var/cache/evenkeel)
  --dry-run          say only what would change
  --json             print JSON
  --follow           go on printing what happens
  --retry-after TIME when clients are told to come again (as in the file)
  --visitors N       how many clients keep connections in the demo (1152)
";

/// A command, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Run(Flags),
    Check(Flags),
    Status(Flags),
    Events(Flags),
    Reload(Flags),
    Backend(Flags, (String, String), BackendChange),
    Router(Flags, String, Option<u8>),
    Maintenance(Flags, String, Option<MaintenanceChange>),
    Demo(Flags),
    Cleanup,
    Import(Vec<String>, Vec<String>),
    Version,
    Help,
}

/// The flags of all commands; each command takes only its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flags {
    config: Option<PathBuf>,
    node: Option<String>,
    runtime_dir: PathBuf,
    cache_dir: Option<PathBuf>,
    output: Output,
    until: Until,
    mode: Mode,
    visitors: usize,
    retry_after: Option<String>,
    /// What is no flag.
    words: Vec<String>,
}

impl Flags {
    fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into())
    }
}

/// Runs the command that the arguments name (without the program's own) and returns the exit code.
pub fn run(arguments: &[String]) -> i32 {
    match parse(arguments) {
        Ok(Command::Run(flags)) => daemon::run(
            flags.config(),
            flags.node,
            flags.runtime_dir,
            flags.cache_dir,
        ),
        Ok(Command::Check(flags)) => check::run(&flags.config(), flags.node.as_deref()),
        Ok(Command::Status(flags)) => status::run(&flags.runtime_dir, flags.output),
        Ok(Command::Events(flags)) => events::run(&flags.runtime_dir, flags.output, flags.until),
        Ok(Command::Reload(flags)) => {
            let config = flags.config.as_deref();
            change::reload(&flags.runtime_dir, config, flags.mode, flags.output)
        }
        Ok(Command::Backend(flags, name, change)) => {
            change::backend(&flags.runtime_dir, name, change, flags.output)
        }
        Ok(Command::Router(flags, entry, priority)) => {
            change::router(&flags.runtime_dir, entry, priority, flags.output)
        }
        Ok(Command::Maintenance(flags, listener, change)) => {
            maintenance::run(&flags.runtime_dir, listener, change, flags.output)
        }
        Ok(Command::Demo(flags)) => demo::run(flags.output, flags.visitors),
        Ok(Command::Cleanup) => cleanup::run(),
        Ok(Command::Import(files, nodes)) => import::run(&files, &nodes),
        Ok(Command::Version) => {
            println!("evenkeel {}", env!("CARGO_PKG_VERSION"));
            EXIT_DONE
        }
        Ok(Command::Help) => {
            print!("{USAGE}");
            EXIT_DONE
        }
        Err(complaint) => {
            eprintln!("error: {complaint}\n\n{USAGE}");
            EXIT_USAGE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Command, String> {
    let Some((name, rest)) = arguments.split_first() else {
        return Err("a command is missing".into());
    };
    if rest
        .iter()
        .any(|argument| matches!(argument.as_str(), "--help" | "-h"))
    {
        return Ok(Command::Help);
    }
    match name.as_str() {
        "run" => {
            let allowed = ["--config", "--node", "--runtime-dir", "--cache-dir"];
            bare(rest, &allowed).map(Command::Run)
        }
        "check" => bare(rest, &["--config", "--node"]).map(Command::Check),
        "status" => bare(rest, &["--json", "--runtime-dir"]).map(Command::Status),
        "events" => bare(rest, &["--json", "--follow", "--runtime-dir"]).map(Command::Events),
        "reload" => {
            let allowed = ["--config", "--dry-run", "--json", "--runtime-dir"];
            bare(rest, &allowed).map(Command::Reload)
        }
        "backend" => {
            let flags = flags(rest, &["--json", "--runtime-dir"])?;
            let (name, change) = change::backend_words(&flags.words)?;
            Ok(Command::Backend(flags, name, change))
        }
        "router" => {
            let flags = flags(rest, &["--json", "--runtime-dir"])?;
            let (entry, priority) = change::router_words(&flags.words)?;
            Ok(Command::Router(flags, entry, priority))
        }
        "maintenance" => {
            let flags = flags(rest, &["--retry-after", "--json", "--runtime-dir"])?;
            let (listener, change) =
                maintenance::words(&flags.words, flags.retry_after.as_deref())?;
            Ok(Command::Maintenance(flags, listener, change))
        }
        "demo" => bare(rest, &["--json", "--visitors"]).map(Command::Demo),
        "cleanup" => bare(rest, &[]).map(|_| Command::Cleanup),
        "import" => import_words(rest),
        "--version" | "-V" => Ok(Command::Version),
        "--help" | "-h" | "help" => Ok(Command::Help),
        other => Err(format!("there is no command {other:?}")),
    }
}

/// Reads files, and those of nodes.
fn import_words(arguments: &[String]) -> Result<Command, String> {
    let (mut files, mut nodes) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix("--node") {
            Some("") => nodes.push(rest.next().cloned().ok_or("--node needs a value")?),
            Some(attached) if attached.starts_with('=') => nodes.push(attached[1..].to_owned()),
            Some(_) | None if argument.starts_with('-') => {
                return Err(format!("this command does not take {argument:?}"));
            }
            Some(_) | None => files.push(argument.clone()),
        }
    }
    Ok(Command::Import(files, nodes))
}

/// Reads flags alone.
fn bare(arguments: &[String], allowed: &[&str]) -> Result<Flags, String> {
    let flags = flags(arguments, allowed)?;
    match flags.words.first() {
        Some(word) => Err(format!("this command does not take {word:?}")),
        None => Ok(flags),
    }
}

fn flags(arguments: &[String], allowed: &[&str]) -> Result<Flags, String> {
    let mut flags = Flags {
        config: None,
        mode: Mode::Change,
        words: Vec::new(),
        node: None,
        runtime_dir: DEFAULT_RUNTIME_DIR.into(),
        cache_dir: None,
        output: Output::Text,
        until: Until::Now,
        visitors: usize::MAX,
        retry_after: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            Some(_) | None => (argument.as_str(), None),
        };
        if !argument.starts_with('-') {
            flags.words.push(argument.clone());
            continue;
        }
        if !allowed.contains(&name) {
            return Err(format!("this command does not take {argument:?}"));
        }
        if matches!(name, "--json" | "--follow" | "--dry-run") {
            if attached.is_some() {
                return Err(format!("{name} takes no value"));
            }
            match name {
                "--json" => flags.output = Output::Json,
                "--dry-run" => flags.mode = Mode::DryRun,
                _ => flags.until = Until::Interrupted,
            }
            continue;
        }
        let value = attached
            .or_else(|| rest.next().cloned())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name {
            "--config" => flags.config = Some(value.into()),
            "--node" => flags.node = Some(value),
            "--cache-dir" => flags.cache_dir = Some(value.into()),
            "--retry-after" => flags.retry_after = Some(value),
            "--visitors" => {
                flags.visitors = value
                    .parse()
                    .map_err(|_| format!("--visitors needs a number, not {value:?}"))?;
            }
            _ => flags.runtime_dir = value.into(),
        }
    }
    Ok(flags)
}

/// Where the configuration is.
const DEFAULT_CONFIG: &str = "/etc/evenkeel/evenkeel.yaml";
/// Where the control socket is.
const DEFAULT_RUNTIME_DIR: &str = "/run/evenkeel";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn flags_have_defaults_and_take_values_both_ways() {
        let Command::Run(flags) = parsed("run").unwrap() else {
            panic!("not run")
        };
        assert_eq!(flags.config(), PathBuf::from("/etc/evenkeel/evenkeel.yaml"));
        assert_eq!(flags.runtime_dir, PathBuf::from("/run/evenkeel"));
        let Command::Run(flags) = parsed("run --config a.yaml --node=lb1").unwrap() else {
            panic!("not run")
        };
        assert_eq!(
            (flags.config(), flags.node),
            (PathBuf::from("a.yaml"), Some("lb1".into()))
        );
    }

    #[test]
    fn help_is_given_wherever_it_is_asked_for() {
        for line in ["--help", "-h", "help", "run --help", "status --json -h"] {
            assert_eq!(parsed(line), Ok(Command::Help), "{line}");
        }
    }

    #[test]
    fn mistakes_are_said() {
        for (line, complaint) in [
            ("", "a command is missing"),
            ("start", "there is no command \"start\""),
            ("run --json", "this command does not take \"--json\""),
            ("run --config", "--config needs a value"),
            ("status --json=yes", "--json takes no value"),
            (
                "demo --visitors many",
                "--visitors needs a number, not \"many\"",
            ),
            ("check extra", "this command does not take \"extra\""),
        ] {
            assert_eq!(parsed(line), Err(complaint.to_owned()), "{line}");
        }
    }
}
