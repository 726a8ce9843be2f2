//! How it was a while ago: rates and times of listeners and pools, for the small graphs.

use std::collections::{BTreeMap, VecDeque};

use crate::ipc::control::{Status, TimesStatus};

/// What was, by what it was of.
#[derive(Debug, Default)]
pub(super) struct History {
    listeners: BTreeMap<String, Series>,
    pools: BTreeMap<String, Series>,
}

/// One thing over time.
#[derive(Debug, Default)]
pub(super) struct Series {
    points: VecDeque<Point>,
    last: Option<Total>,
}

/// What was measured between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Milliseconds since 1970, of the later look.
    pub(super) at_ms: u64,
    /// A second.
    pub(super) requests: f64,
    /// Of a hundred answers or attempts that failed.
    pub(super) failed_percent: f64,
    /// What half of the requests did not exceed, milliseconds; `None` where none was measured.
    pub(super) median_ms: Option<f64>,
}

/// What had been counted by one look.
#[derive(Clone, Debug)]
struct Total {
    at_ms: u64,
    requests: u64,
    failed: u64,
    times: TimesStatus,
}

impl History {
    /// Takes note of a status of this moment.
    pub(super) fn note(&mut self, at_ms: u64, status: &Status) {
        let listeners = status.listeners.iter().map(|listener| {
            let failed = listener.responses_total.get("5xx").copied();
            let mut times = listener.times.clone();
            for route in &listener.routes {
                add(&mut times, &route.times);
            }
            let total = Total {
                at_ms,
                requests: listener.requests_total,
                failed: failed.unwrap_or_default(),
                times,
            };
            (listener.name.as_str(), total)
        });
        note_all(&mut self.listeners, listeners);
        let pools = status.pools.iter().map(|pool| {
            let sum = |count: fn(&crate::ipc::control::BackendStatus) -> u64| {
                pool.backends.iter().map(count).sum()
            };
            let total = Total {
                at_ms,
                requests: sum(|backend| backend.requests_total),
                failed: sum(|backend| backend.failures_total),
                times: pool.response_times.clone(),
            };
            (pool.name.as_str(), total)
        });
        note_all(&mut self.pools, pools);
    }

    /// Returns what was of a listener.
    pub(super) fn of_listener(&self, name: &str) -> Option<&Series> {
        self.listeners.get(name)
    }

    /// Returns what was of a pool.
    pub(super) fn of_pool(&self, name: &str) -> Option<&Series> {
        self.pools.get(name)
    }
}

impl Series {
    /// Returns what was, the oldest first.
    pub(super) fn points(&self) -> impl DoubleEndedIterator<Item = &Point> + Clone {
        self.points.iter()
    }

    /// Returns how it is now.
    pub(super) fn now(&self) -> Option<&Point> {
        self.points.back()
    }

    fn note(&mut self, total: Total) {
        if let Some(last) = &self.last
            // A proxy that was started again counts anew.
            && total.requests >= last.requests
            && total.at_ms > last.at_ms
        {
            let seconds = (total.at_ms - last.at_ms) as f64 / 1_000.0;
            let requests = total.requests - last.requests;
            let failed = total.failed.saturating_sub(last.failed);
            self.points.push_back(Point {
                at_ms: total.at_ms,
                requests: requests as f64 / seconds,
                failed_percent: match requests {
                    0 => 0.0,
                    requests => (100.0 * failed as f64 / requests as f64).min(100.0),
                },
                median_ms: median_ms(&last.times, &total.times),
            });
            let surplus = self.points.len().saturating_sub(POINTS_MAX);
            self.points.drain(..surplus);
        }
        self.last = Some(total);
    }
}

fn note_all<'s>(
    series: &mut BTreeMap<String, Series>,
    totals: impl Iterator<Item = (&'s str, Total)>,
) {
    let mut olds = std::mem::take(series);
    for (name, total) in totals {
        let mut one = olds.remove(name).unwrap_or_default();
        one.note(total);
        series.insert(name.to_owned(), one);
    }
}

fn add(sum: &mut TimesStatus, more: &TimesStatus) {
    for (sum, more) in sum.buckets.iter_mut().zip(&more.buckets) {
        *sum = sum.saturating_add(*more);
    }
}

/// Returns the median of what was measured between two looks: within its bucket all values are
/// taken to be as likely.
fn median_ms(before: &TimesStatus, after: &TimesStatus) -> Option<f64> {
    let of_bucket = |(index, count): (usize, &u64)| {
        count.saturating_sub(before.buckets.get(index).copied().unwrap_or_default())
    };
    let counts: Vec<u64> = after.buckets.iter().enumerate().map(of_bucket).collect();
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    if half == 0.0 {
        return None;
    }
    let (mut below, mut lower_us) = (0.0, 0.0);
    for (index, &count) in counts.iter().enumerate() {
        let count = count as f64;
        // What is beyond the last bound is taken for that.
        let bound_us = TimesStatus::BOUNDS_US.get(index).copied();
        let upper_us = bound_us.map_or(lower_us, |bound_us| bound_us as f64);
        if count > 0.0 && below + count >= half {
            let part = (half - below) / count;
            return Some((lower_us + part * (upper_us - lower_us)) / 1_000.0);
        }
        below += count;
        lower_us = upper_us;
    }
    None
}

/// Of a page that is open, five minutes.
const POINTS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn total(at_ms: u64, requests: u64, failed: u64, buckets: &[u64]) -> Total {
        let times = TimesStatus {
            buckets: buckets.to_vec(),
            sum_us: 0,
        };
        Total {
            at_ms,
            requests,
            failed,
            times,
        }
    }

    #[test]
    fn rates_are_between_two_looks_and_a_new_proxy_counts_anew() {
        let mut series = Series::default();
        series.note(total(1_000, 100, 0, &[10]));
        assert_eq!(series.now(), None);
        series.note(total(3_000, 140, 10, &[10, 40]));
        let point = series.now().copied();
        let hoped = Point {
            at_ms: 3_000,
            requests: 20.0,
            failed_percent: 25.0,
            median_ms: Some(1.75),
        };
        assert_eq!(point, Some(hoped));
        series.note(total(4_000, 5, 0, &[1]));
        assert_eq!(series.points().count(), 1);
        series.note(total(5_000, 5, 0, &[1]));
        let point = series.now().copied();
        assert_eq!(
            point.map(|it| (it.requests, it.median_ms)),
            Some((0.0, None))
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut series = Series::default();
        (0..1000).for_each(|n| series.note(total(1_000 * n, n, 0, &[])));
        assert_eq!(series.points().count(), POINTS_MAX);
    }
}
