//! `evenkeel check`: says whether a configuration is right, and what this node would do with it.
//!
//! Nothing is opened but the file. Where it is wrong, all of what is wrong goes to standard error.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::config::{
    self, Balance, Config, HealthCheckConfig, ListenerConfig, NodeName, PoolConfig, Preempt,
    ProbeKind, VirtualRouterConfig,
};

/// Checks the file at `path` and prints what `node` (default: the file's, then the host's name)
/// would run; returns the exit code: 0, 1 if the file cannot be read, or 78 if it is wrong.
pub fn run(path: &Path, node: Option<&str>) -> i32 {
    let shown = path.display();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("error: failed to read {shown}: {error}");
            return EXIT_FAILED;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {shown} is not UTF-8 text: {}", error.utf8_error());
            return EXIT_BAD_CONFIG;
        }
    };
    let host = host_name();
    let node = node.map_or(NodeName::HostName(&host), NodeName::Given);
    match config::parse(&shown.to_string(), &text, node) {
        Ok(config) => {
            match std::io::stdout().write_all(describe(&config).as_bytes()) {
                Ok(()) => EXIT_DONE,
                // Whoever reads has gone away.
                Err(_) => EXIT_FAILED,
            }
        }
        Err(errors) => {
            eprintln!("{errors}");
            EXIT_BAD_CONFIG
        }
    }
}

/// Returns the host's name, as `hostname` prints it.
fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| "localhost".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns what a node would run: a table of virtual routers, one of listeners, one of pools.
pub fn describe(config: &Config) -> String {
    let mut text = format!("node {}\n", config.node);
    if !config.virtual_routers.is_empty() {
        let head = [
            "VIRTUAL ROUTER",
            "INTERFACE",
            "VRID",
            "PRIORITY",
            "INTERVAL",
            "PREEMPT",
            "LEASE",
            "ADDRESSES",
        ];
        table(
            &mut text,
            head,
            config.virtual_routers.iter().map(router_row),
        );
    }
    if !config.listeners.is_empty() {
        let head = ["LISTENER", "TIED TO", "POOL", "ADDRESSES"];
        table(&mut text, head, config.listeners.iter().map(listener_row));
    }
    if !config.pools.is_empty() {
        let head = ["POOL", "BALANCE", "HEALTH CHECK", "BACKENDS"];
        table(&mut text, head, config.pools.iter().map(pool_row));
    }
    text
}

fn router_row(router: &VirtualRouterConfig) -> [String; 8] {
    let preempt = match router.preempt {
        Preempt::Always => "yes".to_owned(),
        Preempt::Never => "no".to_owned(),
        Preempt::After(delay) => format!("after {delay:?}"),
    };
    [
        router.name.to_string(),
        router.interface.clone(),
        router.vrid.to_string(),
        router.priority.to_string(),
        router.advertisement_interval.to_string(),
        preempt,
        format!("{:?}", router.lease),
        join(router.addresses.iter()),
    ]
}

fn listener_row(listener: &ListenerConfig) -> [String; 4] {
    let tied_to = listener
        .virtual_router
        .clone()
        .unwrap_or_else(|| "-".to_owned());
    [
        listener.name.clone(),
        tied_to,
        listener.pool.clone(),
        join(listener.binds.iter()),
    ]
}

fn pool_row(pool: &PoolConfig) -> [String; 4] {
    let balance = match pool.balance {
        Balance::RandomOfTwo => "random_of_two",
        Balance::RoundRobin => "round_robin",
    };
    let health_check = match &pool.health_check {
        HealthCheckConfig::None => "none".to_owned(),
        HealthCheckConfig::Probe(probe) => {
            let what = match &probe.kind {
                ProbeKind::Tcp => "tcp".to_owned(),
                ProbeKind::Http { path, .. } => format!("http {path}"),
            };
            format!(
                "{what} every {:?}, rise {}, fall {}",
                probe.interval, probe.rise, probe.fall
            )
        }
    };
    let backends = pool.backends.iter().map(|backend| match backend.weight {
        1 => format!("{}={}", backend.name, backend.address),
        weight => format!("{}={} weight {weight}", backend.name, backend.address),
    });
    [
        pool.name.clone(),
        balance.to_owned(),
        health_check,
        join(backends),
    ]
}

fn join(items: impl Iterator<Item = impl ToString>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Adds an empty line and aligned columns, two spaces between them.
fn table<const N: usize>(
    text: &mut String,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    text.push('\n');
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // Writing to a String does not fail.
            let _ = write!(row, "{cell:width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
}

const EXIT_DONE: i32 = 0;
const EXIT_FAILED: i32 = 1;
const EXIT_BAD_CONFIG: i32 = 78;
