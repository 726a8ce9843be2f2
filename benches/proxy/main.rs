//! What a request costs: Evenkeel beside HAProxy, nginx and Perlbal, in one network namespace,
//! round by round.
//!
//! `cargo bench --bench proxy [-- WORKLOAD... --rounds N]` as root, with Debian's haproxy,
//! nginx-light, perlbal and nghttp2-client. Core 0 has the load generator and the backend, core 1
//! the proxy whose turn it is; the order of turns rotates. What counts is the ratio of CPU per
//! request of one round, and the median of these ratios: the speed of the machine moves, the ratio
//! less. `soak` is the other mode: everything at once, for long, each answer checked. Begin to read
//! at `workload`.

mod backend;
mod conn;
mod histogram;
mod load;
mod measure;
mod options;
mod peers;
mod report;
mod round;
mod soak;
mod wire;
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use evenkeel::lab::LabError;
use evenkeel::lab::interrupt::clean_up_on_signals;
use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::user_namespace::enter_user_namespace_if_needed;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use load::multiplexed;
use options::Options;
use peers::Kind;
use report::Rounds;
use round::Fleet;
use workload::{Shape, Workload};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = options::read(&arguments)?;
    let mut missing = peers::missing_packages(&options.kinds);
    let wants_streams = |workload: &Workload| workload.shape.streams.is_some();
    if options.workloads.iter().any(wants_streams) && !Path::new(multiplexed::PROGRAM).exists() {
        missing.push("nghttp2-client");
    }
    if !missing.is_empty() {
        return Err(format!(
            "missing: install Debian's {}, or leave them out with --proxies",
            missing.join(", ")
        )
        .into());
    }
    enter_user_namespace_if_needed()?;
    clean_up_on_signals()?;
    raise_descriptors();
    let host = network()?;
    let mut all_met = true;
    let mut fleet = None;
    for workload in &options.workloads {
        let workload = workload.at_rate(options.rate);
        all_met &= run(&host, &workload, &options, &mut fleet)?;
    }
    drop(fleet);
    if options.soak {
        let span = options.span.unwrap_or(SOAK_SPAN);
        all_met &= soak::run(&host, span, &options.kinds)?;
    }
    if all_met {
        Ok(())
    } else {
        Err("not everything that must be is so; see above".into())
    }
}

/// Makes the namespace, with ports enough for connections that are used once.
fn network() -> Result<Host, LabError> {
    let host = Host::new("bench")?;
    host.set_sysctl("net/ipv4/ip_local_port_range", "10000 65000")?;
    host.set_sysctl("net/core/somaxconn", "4096")?;
    Ok(host)
}

fn run(
    host: &Host,
    workload: &Workload,
    options: &Options,
    fleet: &mut Option<Fleet>,
) -> Result<bool, LabError> {
    let shape = &workload.shape;
    let span = options.span.unwrap_or(SPAN);
    let kinds: Vec<Kind> = options
        .kinds
        .iter()
        .copied()
        .filter(|kind| takes_part(*kind, shape))
        .collect();
    let mut rounds = Rounds::new();
    for number in 0..options.rounds {
        let mut samples = BTreeMap::new();
        for turn in 0..kinds.len() {
            let kind = kinds[(turn + number) % kinds.len()];
            let sample = if shape.fresh {
                *fleet = None;
                Fleet::start(host, shape.setting, &[kind])?.measure(host, kind, shape, span)?
            } else {
                if !fleet.as_ref().is_some_and(|fleet| fleet.has(shape.setting)) {
                    // Ports are free again before they are taken.
                    *fleet = None;
                    *fleet = Some(Fleet::start(host, shape.setting, &kinds)?);
                }
                match fleet {
                    Some(fleet) => fleet.measure(host, kind, shape, span)?,
                    None => continue,
                }
            };
            report::progress(workload, number, kind, &sample);
            samples.insert(kind, sample);
        }
        rounds.push(samples);
    }
    Ok(report::print(workload, &kinds, &rounds))
}

fn takes_part(kind: Kind, shape: &Shape) -> bool {
    match kind {
        // Which may know nothing of TLS.
        Kind::Before | Kind::Direct if shape.setting.tls => false,
        Kind::Nginx if shape.setting.carries == peers::Carries::Bytes => false,
        Kind::Evenkeel | Kind::Before | Kind::Haproxy | Kind::Nginx => true,
        // The backend answers proxies, which take `Connection: close` for themselves.
        Kind::Direct => {
            shape.streams.is_none() && !shape.fresh && shape.reuse == load::Reuse::KeepAlive
        }
        Kind::Perlbal => shape.perlbal,
    }
}

/// Ten thousand clients are two times ten thousand descriptors; what is not allowed shows as
/// failures.
fn raise_descriptors() {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    let wanted = DESCRIPTORS.max(hard);
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_err() {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// How long a measurement lasts.
const SPAN: Duration = Duration::from_secs(2);
/// What the issue asks for.
const SOAK_SPAN: Duration = Duration::from_secs(600);
const DESCRIPTORS: u64 = 40_000;
