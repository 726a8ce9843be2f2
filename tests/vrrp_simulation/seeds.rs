//! Which seeds are lived through, on all cores, and how a failing one is told.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lives through one in `share` of the scenarios, each a seed.
pub(crate) fn for_seeds(share: u64, live: impl Fn(u64) + Sync) {
    if let Some(seed) = number("EVENKEEL_SEED") {
        return live(seed);
    }
    let count = number("EVENKEEL_SCENARIOS")
        .unwrap_or(SCENARIOS)
        .div_ceil(share);
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return;
            }
            let last_words = LastWords { seed, next: &next };
            live(seed);
            drop(last_words);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work();
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// Tells the seed, whatever the panic, and lets the other threads finish.
struct LastWords<'a> {
    seed: u64,
    next: &'a AtomicU64,
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {seed}: EVENKEEL_SEED={seed} lives it again",
                seed = self.seed
            );
            self.next.store(u64::MAX / 2, Ordering::Relaxed);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not `{text}`")),
    )
}

/// Of the largest tests, in a debug build: all of them take a few seconds.
const SCENARIOS: u64 = 800;
