//! Families of metrics: a name, what it means, and a value for each set of labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::ipc::control::TimesStatus;

/// Where they are written.
pub(super) struct Families<'e>(DescriptorEncoder<'e>);

/// Names and values.
type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

impl<'e> Families<'e> {
    pub(super) const fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    /// Writes what only grows, until the process that counts is started again.
    pub(super) fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            MetricType::Counter,
            all,
            |value, mut encoder| {
                let none: Option<&Exemplar<NoLabelSet, f64>> = None;
                encoder.encode_counter(&value, none)
            },
        )
    }

    /// Writes what rises and falls.
    pub(super) fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, all, |value, mut encoder| {
            encoder.encode_gauge(&value)
        })
    }

    /// Writes how long something took; of what was not measured there is none.
    pub(super) fn times<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (Labels<'l, N>, &'l TimesStatus)>,
    ) -> fmt::Result {
        let measured = all.into_iter().filter(|(_, times)| times.count() > 0);
        self.family(
            name,
            help,
            MetricType::Histogram,
            measured,
            |times, mut encoder| {
                let bounds = TimesStatus::BOUNDS_US.iter();
                let bounds = bounds.map(|bound_us| seconds(*bound_us));
                let bounds = bounds.chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(times.buckets.iter().copied()).collect();
                encoder.encode_histogram::<NoLabelSet>(
                    seconds(times.sum_us),
                    times.count(),
                    &buckets,
                    None,
                )
            },
        )
    }

    fn family<'l, const N: usize, T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        all: impl IntoIterator<Item = (Labels<'l, N>, T)>,
        write: impl Fn(T, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut all = all.into_iter().peekable();
        if all.peek().is_none() {
            return Ok(());
        }
        // The library ends it with a full stop of its own.
        let help = help.trim_end_matches('.');
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in all {
            write(value, encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
