//! Latencies, kept in buckets that are at most 1.6 % wide.

/// How often which latency was seen.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }

    /// Adds one latency, in nanoseconds.
    pub(crate) fn add(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            *own += other;
        }
        self.total += other.total;
    }

    /// Returns the latency in microseconds that this share (0 to 1) of all did not exceed; 0 where
    /// there is none.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return floor(bucket) as f64 / 1e3;
            }
        }
        0.0
    }
}

/// Exact below 64 ns; above, each power of two has 64 buckets.
fn bucket(nanos: u64) -> usize {
    if nanos < SUB {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - SUB.ilog2();
    (u64::from(shift) * SUB + (nanos >> shift)) as usize
}

fn floor(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB {
        return bucket;
    }
    let shift = bucket / SUB - 1;
    (bucket - shift * SUB) << shift
}

const SUB: u64 = 64;
const BUCKETS: usize = 64 * 60;
