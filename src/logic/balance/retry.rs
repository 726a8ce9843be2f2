//! When a request is tried again, and where.
//!
//! The rule: a request that no backend can have acted on goes elsewhere; one that may have been
//! acted on is repeated only where repeating it does no harm (idempotent by its method, RFC 9110
//! §9.2.2, no body to replay, no upgrade). Pure; the proxy tells how far an attempt got.

/// Why an attempt has no response to relay: whose side, how far it came, and what happened.
///
/// From it follow three tables: whether the request is tried again ([`next`]), what the client is
/// told, and what the access log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptError {
    /// Whose doing it was.
    pub side: Side,
    /// How far the request came.
    pub reached: Reached,
    /// What happened.
    pub cause: Cause,
}

/// The side of an attempt that is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client, of which no backend hears.
    Client,
    /// The backend, or the way to it.
    Upstream,
    /// This proxy.
    Proxy,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// There was no connection.
    Nothing,
    /// A connection, but no byte of the request was written: it is still whole.
    Connected(Connection),
    /// The request was written, at least in part.
    Sent(Connection),
}

/// What happened to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The connection was refused, or its peer cannot be reached.
    Refused,
    /// It took too long.
    TimedOut,
    /// The connection ended too early.
    Lost,
    /// What was sent is not relayed.
    Malformed,
    /// A descriptor, a port or memory was missing. The backend is not to blame.
    Shortage,
    /// The proxy stops.
    Drained,
}

/// Which connection an attempt used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Opened for this request.
    Fresh,
    /// Kept from an earlier request: its end may be older than this request.
    Reused,
}

/// Whether a request may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Idempotent, without a body or an upgrade.
    Harmless,
    /// Anything else.
    Risky,
}

/// For which requests a kept connection is used, whose end may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// For none.
    Never,
    /// For those that can be sent again: by the proxy, where that does no harm; by the client,
    /// which knows what to do where its own kept connection ends without an answer.
    Safe,
    /// For all.
    Always,
}

/// Whether the client's connection has carried a request before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It has not.
    First,
    /// It has.
    Later,
}

/// Returns which connection a request is given first.
pub fn connection(reuse: Reuse, repeat: Repeat, order: Order) -> Connection {
    match (reuse, repeat, order) {
        (Reuse::Never, _, _) | (Reuse::Safe, Repeat::Risky, Order::First) => Connection::Fresh,
        (Reuse::Safe, Repeat::Harmless, _)
        | (Reuse::Safe, Repeat::Risky, Order::Later)
        | (Reuse::Always, _, _) => Connection::Reused,
    }
}

/// Returns whether the client is to find its connection ended, without an answer: it then sends
/// its request again if that may be done, as browsers do.
pub fn ends_unanswered(error: AttemptError, reuse: Reuse, order: Order) -> bool {
    let lost = error.side == Side::Upstream && error.cause == Cause::Lost;
    lost && error.reached == Reached::Sent(Connection::Reused)
        && (reuse, order) == (Reuse::Safe, Order::Later)
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Once more to the same backend, on a connection of its own.
    SameBackend,
    /// To a backend that has not been tried.
    OtherBackend,
    /// Answer with the failure.
    GiveUp,
}

/// Backends one request may be tried on.
pub const BACKENDS_TRIED_MAX: usize = 3;
/// Connections, in all, that one request may be lost on: what ends two of them may be the request.
pub const LOST_MAX: u8 = 2;

/// The backends one request has been tried on, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    backends: [usize; BACKENDS_TRIED_MAX],
    count: usize,
    lost: u8,
}

impl Tried {
    /// Adds one. Beyond `BACKENDS_TRIED_MAX` nothing is added: `next` has given up by then.
    pub fn insert(&mut self, backend: usize) {
        if let Some(free) = self.backends.get_mut(self.count) {
            *free = backend;
            self.count += 1;
        }
    }

    /// Notes an attempt that has failed, as far as it counts: a kept connection that had ended
    /// before anything was written to it has cost its backend nothing.
    pub fn handle_error(&mut self, error: AttemptError) {
        match error.reached {
            Reached::Sent(_) | Reached::Connected(Connection::Fresh) => {
                self.lost = self.lost.saturating_add(1);
            }
            Reached::Nothing | Reached::Connected(Connection::Reused) => {}
        }
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns whether a backend is among them.
    pub fn contains(&self, backend: usize) -> bool {
        self.backends[..self.count].contains(&backend)
    }
}

/// Returns what follows an error, after what was `tried`, this attempt among them.
pub fn next(error: AttemptError, repeat: Repeat, tried: &Tried) -> Next {
    let elsewhere = if tried.count() < BACKENDS_TRIED_MAX {
        Next::OtherBackend
    } else {
        Next::GiveUp
    };
    match (error.side, error.cause) {
        (Side::Client, _) => return Next::GiveUp,
        (Side::Upstream | Side::Proxy, Cause::Drained) => return Next::GiveUp,
        (
            Side::Upstream | Side::Proxy,
            Cause::Refused | Cause::TimedOut | Cause::Lost | Cause::Malformed | Cause::Shortage,
        ) => {}
    }
    let is_answer = match error.cause {
        // A backend that is late, or answers nonsense, has had the request.
        Cause::TimedOut | Cause::Malformed => true,
        Cause::Refused | Cause::Lost | Cause::Shortage | Cause::Drained => false,
    };
    match (error.reached, repeat) {
        // Ports are short towards one backend, and may be there towards another.
        (Reached::Nothing, _) => elsewhere,
        (Reached::Connected(_) | Reached::Sent(_), _) if is_answer => Next::GiveUp,
        (Reached::Connected(Connection::Fresh) | Reached::Sent(_), _) if tried.lost >= LOST_MAX => {
            Next::GiveUp
        }
        (Reached::Connected(Connection::Reused), _) => Next::SameBackend,
        (Reached::Connected(Connection::Fresh), _) => elsewhere,
        (Reached::Sent(Connection::Reused), Repeat::Harmless) => Next::SameBackend,
        (Reached::Sent(Connection::Fresh), Repeat::Harmless) => elsewhere,
        (Reached::Sent(_), Repeat::Risky) => Next::GiveUp,
    }
}

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
    fn the_tried_are_remembered_as_far_as_there_are_tries() {
        let mut tried = Tried::default();
        assert!(!tried.contains(0), "nobody has been tried");
        for backend in [4, 0, 7, 9] {
            tried.insert(backend);
        }
        let among = [0, 4, 7, 9, 1].map(|backend| tried.contains(backend));
        assert_eq!(
            (tried.count(), among),
            (3, [true, true, true, false, false])
        );
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

    #[test]
    fn only_what_can_be_sent_again_is_given_a_kept_connection() {
        use Connection::{Fresh, Reused};
        use Order::{First, Later};
        use Repeat::{Harmless, Risky};
        for (reuse, hoped) in [
            (Reuse::Never, [Fresh; 4]),
            (Reuse::Safe, [Reused, Reused, Fresh, Reused]),
            (Reuse::Always, [Reused; 4]),
        ] {
            let asked = [
                (Harmless, First),
                (Harmless, Later),
                (Risky, First),
                (Risky, Later),
            ];
            let got = asked.map(|(repeat, order)| connection(reuse, repeat, order));
            assert_eq!(got, hoped, "{reuse:?}");
        }
    }

    #[test]
    fn clients_are_left_unanswered_only_where_a_kept_connection_was_lost_behind_their_own() {
        let lost = |reached| AttemptError {
            side: Side::Upstream,
            reached,
            cause: Cause::Lost,
        };
        let (reused, fresh) = (Connection::Reused, Connection::Fresh);
        for (error, reuse, order, hoped) in [
            (lost(Reached::Sent(reused)), Reuse::Safe, Order::Later, true),
            (
                lost(Reached::Sent(reused)),
                Reuse::Safe,
                Order::First,
                false,
            ),
            (lost(Reached::Sent(fresh)), Reuse::Safe, Order::Later, false),
            (
                lost(Reached::Sent(reused)),
                Reuse::Always,
                Order::Later,
                false,
            ),
            (lost(Reached::Nothing), Reuse::Safe, Order::Later, false),
        ] {
            assert_eq!(
                ends_unanswered(error, reuse, order),
                hoped,
                "{error:?} {order:?}"
            );
        }
    }

    #[test]
    fn retry_follows_the_table() {
        use Connection::{Fresh, Reused};
        use Repeat::{Harmless, Risky};
        let upstream = |reached, cause| AttemptError {
            side: Side::Upstream,
            reached,
            cause,
        };
        let connect = upstream(Reached::Nothing, Cause::Refused);
        let unsent = |on| upstream(Reached::Connected(on), Cause::Lost);
        let unanswered = |on| upstream(Reached::Sent(on), Cause::Lost);
        let late = upstream(Reached::Sent(Fresh), Cause::TimedOut);
        let of = |side, cause| AttemptError {
            side,
            reached: Reached::Nothing,
            cause,
        };
        let after = |backends: usize, lost: u8| {
            let mut tried = Tried::default();
            (0..backends).for_each(|backend| tried.insert(backend));
            tried.lost = lost;
            tried
        };
        for (error, repeat, backends, hoped) in [
            (connect, Risky, 1, Next::OtherBackend),
            (connect, Harmless, 2, Next::OtherBackend),
            (connect, Harmless, 3, Next::GiveUp),
            (
                upstream(Reached::Nothing, Cause::TimedOut),
                Risky,
                1,
                Next::OtherBackend,
            ),
            (
                of(Side::Proxy, Cause::Shortage),
                Risky,
                1,
                Next::OtherBackend,
            ),
            (of(Side::Proxy, Cause::Drained), Harmless, 1, Next::GiveUp),
            (of(Side::Client, Cause::Lost), Harmless, 1, Next::GiveUp),
            (unsent(Reused), Risky, 3, Next::SameBackend),
            (unsent(Fresh), Risky, 1, Next::OtherBackend),
            (unsent(Fresh), Risky, 3, Next::GiveUp),
            (unanswered(Reused), Harmless, 3, Next::SameBackend),
            (unanswered(Fresh), Harmless, 1, Next::OtherBackend),
            (unanswered(Reused), Risky, 1, Next::GiveUp),
            (unanswered(Fresh), Risky, 1, Next::GiveUp),
            (late, Harmless, 1, Next::GiveUp),
            (
                upstream(Reached::Sent(Reused), Cause::Malformed),
                Harmless,
                1,
                Next::GiveUp,
            ),
        ] {
            assert_eq!(
                next(error, repeat, &after(backends, 1)),
                hoped,
                "{error:?} {repeat:?} {backends}"
            );
            // Whatever it is, two connections are lost and no third.
            let lost = matches!(error.reached, Reached::Sent(_) | Reached::Connected(Fresh));
            if lost {
                assert_eq!(next(error, repeat, &after(backends, 2)), Next::GiveUp);
            }
            let mut noted = after(backends, 0);
            noted.handle_error(error);
            assert_eq!(noted.lost, u8::from(lost), "{error:?}");
        }
    }
}
