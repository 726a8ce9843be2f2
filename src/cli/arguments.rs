//! The command line as one definition: what is parsed, what `--help` says and what shells complete.
//!
//! A mistake is answered with what is wrong and the usage line of that command, not with all help.
//! What the words of a command mean beyond their form is read by its own file. `tests/documents.rs`
//! holds the manual to this definition.

mod usage;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, ValueHint,
};

use super::outcome::Output;
use super::watch::filter::{Client, Statuses};
use crate::config::check::duration;
use usage::{Hinted, with_usage};

pub(super) use usage::complaint;

/// Virtual addresses that follow the node that can serve, and the HTTP proxy behind them
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "evenkeel", version, args_override_self = true)]
#[command(arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// A command, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground until SIGTERM
    Run(RunArguments),
    /// Say what a configuration means for this node, or all that is wrong with it
    Check(CheckArguments),
    /// Ask the running daemon how everything is
    Status(Asking),
    /// Watch the running daemon: rates, connections, backends, once a second
    Top(TopArguments),
    /// Print every change of state, in order, with its cause
    Events(EventsArguments),
    /// Print requests as they end, through a filter, until interrupted
    Logs(LogsArguments),
    /// List who is connected, for how long, and what with
    Connections(ConnectionsArguments),
    /// Have the running daemon follow its configuration as it is now, or another one
    Reload(ReloadArguments),
    /// Change a backend until `reset`, a reboot, or its end in the configuration
    #[command(after_help = "`add POOL NAME ADDRESS` is the same as `POOL/NAME add ADDRESS`.")]
    Backend(BackendArguments),
    /// Change the base priority of a virtual router, likewise
    Router(RouterArguments),
    /// Answer a listener's clients 503, likewise, or say whether that is so
    Maintenance(MaintenanceArguments),
    /// Show the configuration that runs, or say what a key means
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a configuration made of those of keepalived, HAProxy, Perlbal or heartbeat
    Import(ImportArguments),
    /// Print what a shell needs to complete this command line
    Completions(CompletionsArguments),
    /// Build a failover pair in network namespaces, break it, and measure
    Demo(DemoArguments),
    /// Take away what a daemon that was killed has left on this machine
    Cleanup,
}

/// What is asked of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show the configuration that runs, without secrets, and what was changed by command
    Show(Asking),
    /// Say what a key means, its default and its range
    Explain(ExplainArguments),
}

/// How the daemon is asked, and how its answer is printed.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct Asking {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Socket,
}

/// Where the daemon is asked.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct Socket {
    /// Where the control socket lives
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUNTIME_DIR)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) runtime_dir: PathBuf,
}

/// `run`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) read: CheckArguments,
    #[command(flatten)]
    pub(super) at: Socket,
    /// Where bodies of requests are kept (`buffer_requests`); default: $CACHE_DIRECTORY, else
    /// /var/cache/evenkeel
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) cache_dir: Option<PathBuf>,
}

/// `check`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct CheckArguments {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) config: PathBuf,
    /// Who this machine is; default: the key `node`, else the host name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) node: Option<String>,
}

/// `top`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct TopArguments {
    #[command(flatten)]
    pub(super) at: Socket,
}

/// `events`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct EventsArguments {
    #[command(flatten)]
    pub(super) asking: Asking,
    /// Go on printing what happens
    #[arg(long)]
    pub(super) follow: bool,
}

/// `logs`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct LogsArguments {
    /// Only answers with this status: 5xx, 404, 200-299, or several with commas
    #[arg(long, value_name = "STATUS")]
    pub(super) status: Option<Statuses>,
    /// Only what took so long at least: 500ms
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(super) slow: Option<Duration>,
    /// Only what came to this listener
    #[arg(long, value_name = "LISTENER")]
    pub(super) listener: Option<String>,
    /// Only what this pool answers
    #[arg(long, value_name = "POOL")]
    pub(super) pool: Option<String>,
    /// Only clients with this address or of this network
    #[arg(long, value_name = "NETWORK")]
    pub(super) client: Option<Client>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `connections`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ConnectionsArguments {
    /// Only what came to this listener
    #[arg(long, value_name = "LISTENER")]
    pub(super) listener: Option<String>,
    /// Only clients with this address or of this network
    #[arg(long, value_name = "NETWORK")]
    pub(super) client: Option<Client>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `reload`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ReloadArguments {
    /// Another configuration, until the next reload or restart; default: the daemon's own
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Say only what would change
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `backend`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct BackendArguments {
    /// Which backend
    #[arg(value_name = "POOL/NAME", required = true)]
    subject: Option<String>,
    /// What becomes of it
    #[arg(
        value_name = "drain|maintain|up|weight N|add ADDRESS|remove|reset",
        hide_possible_values = true,
        required = true
    )]
    #[arg(value_parser = Hinted(&["drain", "maintain", "up", "weight", "add", "remove", "reset"]))]
    change: Vec<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `router`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct RouterArguments {
    /// The entry of `virtual_routers`
    #[arg(value_name = "NAME", required = true)]
    subject: Option<String>,
    /// Its base priority, 1 to 254, or as in the file
    #[arg(value_name = "priority N|reset", required = true)]
    #[arg(hide_possible_values = true, value_parser = Hinted(&["priority", "reset"]))]
    change: Vec<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `maintenance`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct MaintenanceArguments {
    /// Which listener
    #[arg(value_name = "LISTENER", required = true)]
    subject: Option<String>,
    /// What becomes of it; without: say whether it is in maintenance
    #[arg(value_name = "on|off", hide_possible_values = true, value_parser = Hinted(&["on", "off", "reset"]))]
    change: Vec<String>,
    /// When clients are told to come again, with `on`; default: as in the file
    #[arg(long, value_name = "TIME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) retry_after: Option<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `config explain`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ExplainArguments {
    /// A key, alone or with its way: `lease`, `virtual_routers.*.lease`
    #[arg(value_name = "KEY")]
    pub(super) key: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `import`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ImportArguments {
    /// What is imported: keepalived.conf, haproxy.cfg, perlbal.conf, ha.cf, haresources
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<String>,
    /// Whose file of keepalived this is, once for each node
    #[arg(long = "node", value_name = "NAME=FILE")]
    pub(super) nodes: Vec<String>,
}

/// `completions`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct CompletionsArguments {
    /// Which shell
    #[arg(value_name = "bash|zsh|fish")]
    pub(super) shell: Shell,
}

/// A shell that completes command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// GNU bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// `demo`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct DemoArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How many clients keep connections; default: 1152
    #[arg(long, value_name = "N")]
    pub(super) visitors: Option<usize>,
}

impl Asking {
    /// Returns how the answer is printed.
    pub(super) const fn output(&self) -> Output {
        output(self.json)
    }

    /// Returns where the control socket is.
    pub(super) fn runtime_dir(&self) -> &std::path::Path {
        &self.at.runtime_dir
    }
}

impl ExplainArguments {
    /// Returns how the answer is printed.
    pub(super) const fn output(&self) -> Output {
        output(self.json)
    }
}

impl DemoArguments {
    /// Returns how the outcome is printed.
    pub(super) const fn output(&self) -> Output {
        output(self.json)
    }
}

impl BackendArguments {
    /// Returns what is no flag.
    pub(super) fn words(&self) -> Vec<&str> {
        words(self.subject.as_deref(), &self.change)
    }
}

impl RouterArguments {
    /// Returns what is no flag.
    pub(super) fn words(&self) -> Vec<&str> {
        words(self.subject.as_deref(), &self.change)
    }
}

impl MaintenanceArguments {
    /// Returns what is no flag.
    pub(super) fn words(&self) -> Vec<&str> {
        words(self.subject.as_deref(), &self.change)
    }
}

/// Reads the arguments, without the program's own name.
///
/// # Errors
/// What is wrong with them, or the help that they ask for.
pub(super) fn read(arguments: &[String]) -> Result<Command, clap::Error> {
    let name = std::iter::once("evenkeel");
    let all = name.chain(arguments.iter().map(String::as_str));
    let matches = definition().try_get_matches_from(all)?;
    Arguments::from_arg_matches(&matches).map(|arguments| arguments.command)
}

/// Returns the command line as clap has it: every command and flag.
pub fn definition() -> clap::Command {
    with_usage(Arguments::command(), "evenkeel")
}

fn words<'a>(subject: Option<&'a str>, change: &'a [String]) -> Vec<&'a str> {
    let change = change.iter().map(String::as_str);
    subject.into_iter().chain(change).collect()
}

fn span(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "write a duration, as 500ms or 1.5s".to_owned())
}

const fn output(json: bool) -> Output {
    match json {
        true => Output::Json,
        false => Output::Text,
    }
}

/// Where the configuration is.
const DEFAULT_CONFIG: &str = "/etc/evenkeel/evenkeel.yaml";
/// Where the control socket is.
const DEFAULT_RUNTIME_DIR: &str = "/run/evenkeel";
