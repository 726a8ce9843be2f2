//! `evenkeel check`: what a configuration means for this node, or all that is wrong with it.

use std::path::Path;

use super::status::table;
use super::{EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, print_error};
use crate::config::{Config, HealthCheckConfig};
use crate::process::supervisor::{SupervisorError, read_config};

/// Prints what this node would run; returns the exit code.
pub fn run(path: &Path, node: Option<&str>) -> i32 {
    match read_config(path, node) {
        Ok((_, config)) => {
            print!("{}", render(path, &config));
            EXIT_DONE
        }
        Err(error) => {
            print_error(&error);
            if matches!(error, SupervisorError::Config(_)) {
                EXIT_CONFIG
            } else {
                EXIT_FAILED
            }
        }
    }
}

fn render(path: &Path, config: &Config) -> String {
    let mut text = format!("{} is good for node {}\n", path.display(), config.node);
    let mut section = |header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let header = header.iter().map(ToString::to_string).collect();
            text.push('\n');
            text.push_str(&table(&[vec![header], rows].concat()));
        }
    };
    let routers = config.virtual_routers.iter().map(|router| {
        vec![
            router.name.to_string(),
            router.interface.clone(),
            router.vrid.to_string(),
            router.priority.to_string(),
            format!("{:?}", router.advertisement_interval.duration()),
            listed(router.addresses.iter()),
        ]
    });
    let header = [
        "VIRTUAL ROUTER",
        "INTERFACE",
        "VRID",
        "PRIORITY",
        "INTERVAL",
        "ADDRESSES",
    ];
    section(&header, routers.collect());
    let listeners = config.listeners.iter().map(|listener| {
        let tie = listener
            .virtual_router
            .clone()
            .unwrap_or_else(|| "-".into());
        vec![
            listener.name.clone(),
            listed(listener.binds.iter()),
            tie,
            listener.pool.clone(),
        ]
    });
    section(
        &["LISTENER", "BIND", "VIRTUAL ROUTER", "POOL"],
        listeners.collect(),
    );
    let pools = config.pools.iter().map(|pool| {
        let backends = pool
            .backends
            .iter()
            .map(|b| format!("{}={}", b.name, b.address));
        let check = match &pool.health_check {
            HealthCheckConfig::None => "none".to_owned(),
            HealthCheckConfig::Probe(probe) => format!("every {:?}", probe.interval),
        };
        vec![
            pool.name.clone(),
            backends.collect::<Vec<_>>().join(" "),
            check,
        ]
    });
    section(&["POOL", "BACKENDS", "HEALTH CHECK"], pools.collect());
    text
}

fn listed<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
