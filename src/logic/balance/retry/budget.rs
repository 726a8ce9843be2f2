//! How many retries a pool may have: a share of its requests, whatever fails.
//!
//! It refuses to know what a retry is; `retry` says what one costs.

/// How many retries a pool may still have: a fifth of its requests, and some a second in any case.
///
/// Where everything fails, retries would multiply the load of backends that fail because of load.
/// It counts in fifths of a retry. One for each pool and worker.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    fifths: u32,
    /// Until when the time has been counted.
    counted_ms: u64,
}

/// Whether a retry is within the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// It is, and has been spent.
    Granted,
    /// It is not; the failure is the answer.
    Exhausted,
}

impl RetryBudget {
    /// Returns a budget for the first seconds.
    pub fn new(now_ms: u64) -> Self {
        Self {
            fifths: FIFTHS_MAX,
            counted_ms: now_ms,
        }
    }

    /// Counts a request.
    pub fn handle_request(&mut self) {
        self.fifths = (self.fifths + 1).min(FIFTHS_MAX);
    }

    /// Takes a retry from the budget, if there is one.
    pub fn spend(&mut self, now_ms: u64) -> Spending {
        let passed_ms = now_ms.saturating_sub(self.counted_ms);
        let earned = passed_ms.saturating_mul(FIFTHS_A_SECOND) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(FIFTHS_MAX);
            self.fifths = self.fifths.saturating_add(earned).min(FIFTHS_MAX);
            self.counted_ms = now_ms;
        }
        match self.fifths.checked_sub(FIFTHS_A_RETRY) {
            Some(left) => {
                self.fifths = left;
                Spending::Granted
            }
            None => Spending::Exhausted,
        }
    }
}

const FIFTHS_A_RETRY: u32 = 5;
/// Three retries a second, without a request.
const FIFTHS_A_SECOND: u64 = 15;
/// What can be saved for a burst: the death of a backend fails many requests at once.
const FIFTHS_MAX: u32 = 100 * FIFTHS_A_RETRY;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Spends all that is there; returns how many retries that were.
    fn emptied(budget: &mut RetryBudget, now_ms: u64) -> u32 {
        let mut count = 0;
        while budget.spend(now_ms) == Spending::Granted {
            count += 1;
        }
        count
    }

    #[test]
    fn budgets_grow_with_requests_and_time() {
        let mut budget = RetryBudget::new(0);
        assert_eq!(emptied(&mut budget, 0), 100, "the first burst");
        for _ in 0..50 {
            budget.handle_request();
        }
        assert_eq!(emptied(&mut budget, 0), 10, "a fifth of the requests");
        assert_eq!(emptied(&mut budget, 2000), 6, "three a second");
        assert_eq!(
            emptied(&mut budget, 3_600_000),
            100,
            "not more than a burst"
        );
    }

    proptest! {
        #[test]
        fn retries_never_pass_a_fifth_of_the_requests_and_three_a_second(
            steps in proptest::collection::vec((0..20u32, 0..20u32, 0..400u64), 1..60)
        ) {
            let mut budget = RetryBudget::new(0);
            emptied(&mut budget, 0);
            let (mut now_ms, mut requests, mut retries) = (0, 0, 0);
            for (asked, tried, passed_ms) in steps {
                now_ms += passed_ms;
                for _ in 0..asked {
                    budget.handle_request();
                }
                requests += asked;
                for _ in 0..tried {
                    retries += u32::from(budget.spend(now_ms) == Spending::Granted);
                }
            }
            let allowed = u64::from(requests) * 200 + now_ms * 3;
            prop_assert!(u64::from(retries) * 1000 <= allowed, "{retries} of {requests} in {now_ms} ms");
        }
    }
}
