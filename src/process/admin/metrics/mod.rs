//! The metrics, in the text format of OpenMetrics for who asks for that, as Prometheus does, and in
//! its older text format for all others.
//!
//! What they say is a status, once more: nothing is counted here. Their labels are names of the
//! configuration, so that there are no more of them than it has.

mod families;
mod plain;
mod proxy;
mod vrrp;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::families::Families;
use crate::ipc::control::Status;

/// A text format, as its media type names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Plain,
}

impl Format {
    /// Returns the one for who says that it accepts this; weights are not looked at.
    pub(super) fn accepted_by(accept: &str) -> Self {
        let mut accepted = accept.split(',').map(|one| one.split(';').next());
        let has_open = accepted.any(|kind| {
            kind.is_some_and(|it| {
                it.trim()
                    .eq_ignore_ascii_case("application/openmetrics-text")
            })
        });
        match has_open {
            true => Self::OpenMetrics,
            false => Self::Plain,
        }
    }

    /// Returns its media type.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Returns the metrics of a status of this moment, milliseconds since 1970.
pub(super) fn text(status: &Status, at_ms: u64, format: Format) -> Result<String, fmt::Error> {
    let text = openmetrics(status, at_ms)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Plain => plain::of(&text),
    })
}

fn openmetrics(status: &Status, at_ms: u64) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let status = Arc::new(status.clone());
    registry.register_collector(Box::new(OfStatus { status, at_ms }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct OfStatus {
    status: Arc<Status>,
    at_ms: u64,
}

impl Collector for OfStatus {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        daemon(&self.status, &mut families)?;
        vrrp::write(&self.status, self.at_ms, &mut families)?;
        proxy::write(&self.status, &mut families)
    }
}

/// The daemon itself.
fn daemon(status: &Status, families: &mut Families<'_>) -> fmt::Result {
    let of_daemon = [("version", &*status.version), ("node", &*status.node)];
    families.gauge(
        "evenkeel_build",
        "Always 1; says which program runs, as which node.",
        [(of_daemon, 1)],
    )?;
    let configuration = &status.configuration;
    families.gauge(
        "evenkeel_configuration_generation",
        "The number of the configuration that runs: 1 at the start, one more with every change.",
        [([], configuration.generation)],
    )?;
    families.gauge(
        "evenkeel_configuration_loaded_timestamp_seconds",
        "When the configuration that runs was taken into use.",
        [([], configuration.since_ms / 1000)],
    )?;
    let differs = configuration.file_differs.map(u64::from);
    families.gauge(
        "evenkeel_configuration_file_differs",
        "Whether the file differs from what runs; missing where it cannot be read.",
        differs.map(|differs| ([], differs)),
    )?;
    families.gauge(
        "evenkeel_configuration_reload_failed",
        "Whether the last reload or command has failed.",
        [([], u64::from(configuration.last_failure.is_some()))],
    )?;
    let overrides = u64::try_from(status.overrides.len()).unwrap_or(u64::MAX);
    families.gauge(
        "evenkeel_overrides",
        "What was changed by command and not taken back.",
        [([], overrides)],
    )?;
    let warnings = u64::try_from(status.warnings.len()).unwrap_or(u64::MAX);
    families.gauge(
        "evenkeel_warnings",
        "What is wrong now; `evenkeel status` says what.",
        [([], warnings)],
    )?;
    let processes = || status.processes.iter();
    families.gauge(
        "evenkeel_process_up",
        "Whether a process of the daemon runs.",
        processes().map(|it| ([("process", &*it.name)], u64::from(it.pid.is_some()))),
    )?;
    families.counter(
        "evenkeel_process_restarts",
        "How often a process of the daemon was started again.",
        processes().map(|it| ([("process", &*it.name)], it.restarts)),
    )
}

#[cfg(test)]
mod tests;
