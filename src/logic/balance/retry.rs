//! When a request is tried again, and where.
//!
//! The rule: a request that nobody can have acted on goes elsewhere; one that may have been acted
//! on is repeated only where repeating it does no harm (idempotent by its method, RFC 9110 §9.2.2,
//! no body to replay, no upgrade). Pure; the proxy tells how far an attempt got.

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, unreachable, or not in time.
    Connect,
    /// The connection ended before a byte of the request was written; the request is still whole.
    Unsent(Connection),
    /// The connection ended after the request was, at least in part, written and before its
    /// answer's head.
    Unanswered(Connection),
    /// No answer in time.
    Timeout,
    /// An answer that is not to be relayed.
    BadAnswer,
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

/// Returns what follows a failure, after `tried` backends, this one among them.
pub fn next(failure: Failure, repeat: Repeat, tried: usize) -> Next {
    let elsewhere = if tried < BACKENDS_TRIED_MAX {
        Next::OtherBackend
    } else {
        Next::GiveUp
    };
    match (failure, repeat) {
        (Failure::Connect, _) => elsewhere,
        (Failure::Unsent(Connection::Reused), _) => Next::SameBackend,
        (Failure::Unsent(Connection::Fresh), _) => elsewhere,
        (Failure::Unanswered(Connection::Reused), Repeat::Harmless) => Next::SameBackend,
        (Failure::Unanswered(Connection::Fresh), Repeat::Harmless) => elsewhere,
        (Failure::Unanswered(_), Repeat::Risky) => Next::GiveUp,
        (Failure::Timeout | Failure::BadAnswer, _) => Next::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_follows_the_table() {
        use Connection::{Fresh, Reused};
        use Repeat::{Harmless, Risky};
        for (failure, repeat, tried, hoped) in [
            (Failure::Connect, Risky, 1, Next::OtherBackend),
            (Failure::Connect, Harmless, 2, Next::OtherBackend),
            (Failure::Connect, Harmless, 3, Next::GiveUp),
            (Failure::Unsent(Reused), Risky, 3, Next::SameBackend),
            (Failure::Unsent(Fresh), Risky, 1, Next::OtherBackend),
            (Failure::Unsent(Fresh), Risky, 3, Next::GiveUp),
            (Failure::Unanswered(Reused), Harmless, 3, Next::SameBackend),
            (Failure::Unanswered(Fresh), Harmless, 1, Next::OtherBackend),
            (Failure::Unanswered(Reused), Risky, 1, Next::GiveUp),
            (Failure::Unanswered(Fresh), Risky, 1, Next::GiveUp),
            (Failure::Timeout, Harmless, 1, Next::GiveUp),
            (Failure::BadAnswer, Harmless, 1, Next::GiveUp),
        ] {
            assert_eq!(
                next(failure, repeat, tried),
                hoped,
                "{failure:?} {repeat:?} {tried}"
            );
        }
    }
}
