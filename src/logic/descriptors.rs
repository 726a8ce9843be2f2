//! How the descriptors that the system grants are shared out: clients, kept connections, pipes, and
//! a reserve.
//!
//! A client that is admitted needs a descriptor and may need a second one, to its backend. So
//! clients are admitted only as far as both are there, and what is merely useful (kept connections,
//! pipes) has bounds of its own: probes, the control channel and the log find descriptors whatever
//! clients do. Pure.

/// What a proxy wants descriptors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Client connections, as configured.
    pub connections: u64,
    /// Workers.
    pub threads: u64,
    /// Listening sockets, all of them.
    pub sockets: u64,
    /// Backends that are probed, each maybe now.
    pub probes: u64,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Client connections, at most as many as are wanted.
    pub connections: u64,
    /// Unused connections to backends that a worker keeps.
    pub kept_a_worker: u64,
    /// Pipes of a worker, two descriptors each.
    pub pipes_a_worker: u64,
    /// The limit with which nothing that is wanted would be missing.
    pub limit_wanted: u64,
}

impl Shares {
    /// Shares out `limit` descriptors.
    pub fn of(limit: u64, wanted: Wanted) -> Self {
        let threads = wanted.threads.max(1);
        let fixed = FIXED
            .saturating_add(wanted.sockets)
            .saturating_add(RUNTIME.saturating_mul(threads.saturating_add(2)))
            .saturating_add(WAITING.saturating_mul(threads))
            .saturating_add(2 * wanted.probes.min(PROBES_AT_ONCE));
        let pipes = threads.saturating_mul(2 * PIPES_A_WORKER);
        let both_sides = wanted.connections.saturating_mul(2);
        let limit_wanted = fixed
            .saturating_add(both_sides)
            .saturating_add(pipes)
            .saturating_add(threads.saturating_mul(KEPT_WANTED));
        let rest = limit.saturating_sub(fixed);
        if limit >= limit_wanted {
            return Self {
                connections: wanted.connections,
                kept_a_worker: (rest - both_sides - pipes) / threads,
                pipes_a_worker: PIPES_A_WORKER,
                limit_wanted,
            };
        }
        // Four fifths for clients and their backends, a tenth each for what is merely useful.
        Self {
            connections: wanted.connections.min((rest * 2 / 5).max(1)),
            kept_a_worker: rest / 10 / threads,
            pipes_a_worker: (rest / 20 / threads).min(PIPES_A_WORKER),
            limit_wanted,
        }
    }
}

/// Standard streams, the channel, the log, what is passed over the channel, and some to spare.
const FIXED: u64 = 24;
/// What a runtime needs for itself.
const RUNTIME: u64 = 5;
/// Clients that wait for a place in a full house, of each worker.
pub const WAITING: u64 = 32;
/// More backends than these are hardly probed in the same moment, nor is the end of more probes
/// waited for.
const PROBES_AT_ONCE: u64 = 64;
/// Pipes that a worker makes at most.
pub const PIPES_A_WORKER: u64 = 64;
/// Kept connections of a worker that are worth a warning where they do not fit.
const KEPT_WANTED: u64 = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WANTED: Wanted = Wanted {
        connections: 20_000,
        threads: 2,
        sockets: 2,
        probes: 3,
    };

    #[test]
    fn shares_follow_the_table() {
        for (limit, connections, kept_a_worker, pipes_a_worker) in [
            (1_048_576, 20_000, 504_102, 64),
            (40_628, 20_000, 128, 64),
            (1024, 363, 45, 22),
            (256, 56, 7, 3),
            (64, 1, 0, 0),
            (0, 1, 0, 0),
        ] {
            let shares = Shares::of(limit, WANTED);
            let got = (
                shares.connections,
                shares.kept_a_worker,
                shares.pipes_a_worker,
            );
            assert_eq!(got, (connections, kept_a_worker, pipes_a_worker), "{limit}");
            assert_eq!(shares.limit_wanted, 40_628);
        }
    }

    proptest! {
        #[test]
        fn shares_leave_what_is_fixed(
            limit in 800..2_000_000_u64,
            connections in 1..1_000_000_u64,
            threads in 1..16_u64,
            sockets in 0..8_u64,
            probes in 0..5000_u64,
        ) {
            let wanted = Wanted { connections, threads, sockets, probes };
            let shares = Shares::of(limit, wanted);
            let used = 2 * shares.connections
                + threads * (shares.kept_a_worker + 2 * shares.pipes_a_worker)
                + sockets
                + 2 * probes.min(PROBES_AT_ONCE)
                + (RUNTIME + WAITING) * threads
                + RUNTIME * 2;
            prop_assert!(used + 16 <= limit, "{used} of {limit}: {shares:?}");
            prop_assert!(shares.connections >= 1 && shares.connections <= connections);
        }
    }
}
