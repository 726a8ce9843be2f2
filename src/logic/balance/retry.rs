//! When a request is tried again, and where.
//!
//! A request that no backend can have acted on goes on; one that may have been acted on is repeated
//! only where repeating it does no harm (idempotent by its method, RFC 9110 §9.2.2, no body to
//! replay, no upgrade). Who repeats it, after a connection that was lost with it:
//!
//! | lost | asked next |
//! |---|---|
//! | a kept connection | its backend, on a connection of its own: most often the backend has only ended one that was idle |
//! | another one, the request of a session that is on this backend | the same: its session is there |
//! | any other | another backend that can take it at once and is no worse; where none can, the same |
//! | two, on one backend | another backend, for whose room the request waits |
//! | on two backends | nobody: it may be the request that ends them |
//!
//! A backend that is down, left out or takes no requests is asked once more only where no other is
//! left. So a request is lost on two backends at most, and on three connections. Pure; the proxy
//! tells how far an attempt got. `budget` says how many retries there may be.

mod budget;

pub use budget::{RetryBudget, Spending};

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

/// What ties a request to the backend of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// Its session is on that backend.
    Session,
    /// Nothing that another backend would not have.
    None,
}

/// Who is to be asked next. Who is depends on what they are like: see [`step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same backend once more, on a connection of its own.
    SameBackend,
    /// A backend that has not been tried, if one can take the request at once; else the same.
    OtherOrSame,
    /// A backend that has not been tried, also where that takes a while.
    OtherBackend,
    /// Nobody: the failure is the answer.
    GiveUp,
}

/// What the backend of a failed attempt is like afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// It takes requests of this kind.
    Ready,
    /// It is down or left out, or takes no more requests.
    Doubtful,
}

/// What those have to offer that have not been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others<Slot> {
    /// Room on one of them, which has been taken.
    Room(Slot),
    /// No room now.
    Full,
    /// Nothing: there is none, or none that is as good.
    None,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<Slot> {
    /// The same backend is asked once more, on a connection of its own.
    Same,
    /// Another one is asked, on which there is room.
    Other(Slot),
    /// The request waits for room on another one.
    Wait,
    /// The failure is the answer.
    GiveUp,
}

/// What a retry costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// Nothing.
    Free,
    /// One of the budget.
    One,
}

/// Backends one request may be tried on.
pub const BACKENDS_TRIED_MAX: usize = 3;
/// Backends one request may be lost on: what ends the connections of two may be the request.
pub const BACKENDS_LOST_MAX: u8 = 2;
/// Connections to one backend that one request may be lost on.
pub const LOST_HERE_MAX: u8 = 2;
/// Connections, in all, that one request may be lost on.
pub const LOST_MAX: u8 = 3;

/// The backends one request has been tried on, by index, and what it was lost on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    backends: [usize; BACKENDS_TRIED_MAX],
    count: usize,
    /// Connections it was lost on.
    lost: u8,
    /// Those of them that were to the last backend.
    lost_here: u8,
    /// Backends it was lost on.
    backends_lost: u8,
}

impl Tried {
    /// Adds one. Beyond `BACKENDS_TRIED_MAX` nothing is added: nobody else is asked by then.
    pub fn insert(&mut self, backend: usize) {
        if let Some(free) = self.backends.get_mut(self.count) {
            *free = backend;
            self.count += 1;
            self.lost_here = 0;
        }
    }

    /// Notes an attempt on the last one that has failed, as far as it counts: a kept connection
    /// that had ended before anything was written to it has cost its backend nothing.
    pub fn handle_error(&mut self, error: AttemptError) {
        match error.reached {
            Reached::Sent(_) | Reached::Connected(Connection::Fresh) => {
                self.backends_lost += u8::from(self.lost_here == 0);
                self.lost_here = self.lost_here.saturating_add(1);
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

    /// Returns whether no other may be tried.
    pub fn is_full(&self) -> bool {
        self.count >= BACKENDS_TRIED_MAX
    }

    /// Returns which connection the next backend is asked on, where the first one was asked `on`
    /// that: a request that was lost once is not to be lost on one that is merely old.
    pub fn connection(&self, on: Connection) -> Connection {
        match self.lost {
            0 => on,
            _ => Connection::Fresh,
        }
    }
}

/// Returns who is to be asked after an error, after what was `tried`, this attempt among them.
pub fn next(error: AttemptError, repeat: Repeat, bond: Bond, tried: &Tried) -> Next {
    let elsewhere = if tried.is_full() {
        Next::GiveUp
    } else {
        Next::OtherBackend
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
        (Reached::Connected(Connection::Reused), _) => Next::SameBackend,
        (Reached::Sent(_), Repeat::Risky) => Next::GiveUp,
        (Reached::Connected(Connection::Fresh), _) | (Reached::Sent(_), Repeat::Harmless)
            if tried.backends_lost >= BACKENDS_LOST_MAX || tried.lost >= LOST_MAX =>
        {
            Next::GiveUp
        }
        (Reached::Connected(Connection::Fresh), _) | (Reached::Sent(_), Repeat::Harmless)
            if tried.lost_here >= LOST_HERE_MAX =>
        {
            elsewhere
        }
        (Reached::Sent(Connection::Reused), Repeat::Harmless) => Next::SameBackend,
        (Reached::Connected(Connection::Fresh), _)
        | (Reached::Sent(Connection::Fresh), Repeat::Harmless) => match bond {
            Bond::Session => Next::SameBackend,
            Bond::None => Next::OtherOrSame,
        },
    }
}

/// Returns what is done, where that is to be asked `next`. The `others` are only asked where it
/// counts: to ask takes room.
pub fn step<Slot>(
    next: Next,
    own: Own,
    tried: &Tried,
    others: impl FnOnce() -> Others<Slot>,
) -> Step<Slot> {
    let others = || {
        if tried.is_full() {
            Others::None
        } else {
            others()
        }
    };
    match (next, own) {
        (Next::GiveUp, _) => Step::GiveUp,
        (Next::SameBackend, Own::Ready) => Step::Same,
        (Next::OtherOrSame, Own::Ready) => match others() {
            Others::Room(slot) => Step::Other(slot),
            Others::Full | Others::None => Step::Same,
        },
        (Next::SameBackend | Next::OtherOrSame, Own::Doubtful) => match others() {
            Others::Room(slot) => Step::Other(slot),
            Others::Full => Step::Wait,
            Others::None => Step::Same,
        },
        (Next::OtherBackend, Own::Ready | Own::Doubtful) => match others() {
            Others::Room(slot) => Step::Other(slot),
            Others::Full => Step::Wait,
            Others::None => Step::GiveUp,
        },
    }
}

/// Returns what it costs to go on after an error, after what was `tried`, this attempt among them.
/// A connection in the place of one that nothing was written to is free; what was to be sent again
/// and could not, for want of a connection, has been paid for.
pub fn price(error: AttemptError, tried: &Tried) -> Price {
    match error.reached {
        Reached::Connected(Connection::Reused) => Price::Free,
        Reached::Nothing if tried.lost_here > 0 => Price::Free,
        Reached::Nothing | Reached::Connected(Connection::Fresh) | Reached::Sent(_) => Price::One,
    }
}

/// Returns whether an error is counted as a failure of its backend, who being asked `next`: it is
/// none where a kept connection is replaced.
pub fn is_failure(error: AttemptError, next: Next) -> bool {
    let was_kept = match error.reached {
        Reached::Connected(on) | Reached::Sent(on) => on == Connection::Reused,
        Reached::Nothing => false,
    };
    error.side == Side::Upstream && !(was_kept && next == Next::SameBackend)
}

#[cfg(test)]
mod tests;
