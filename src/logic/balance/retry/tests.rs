//! The tables of retries, and what holds for every way of a request.

use proptest::prelude::*;

use super::*;

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

fn upstream(reached: Reached, cause: Cause) -> AttemptError {
    AttemptError {
        side: Side::Upstream,
        reached,
        cause,
    }
}

fn refused() -> AttemptError {
    upstream(Reached::Nothing, Cause::Refused)
}

fn unsent(on: Connection) -> AttemptError {
    upstream(Reached::Connected(on), Cause::Lost)
}

fn unanswered(on: Connection) -> AttemptError {
    upstream(Reached::Sent(on), Cause::Lost)
}

/// Returns what is known after so many backends, with so many connections lost to each.
fn after(lost: &[u8]) -> Tried {
    let mut tried = Tried::default();
    for (backend, &count) in lost.iter().enumerate() {
        tried.insert(backend);
        (0..count).for_each(|_| tried.handle_error(unanswered(Connection::Fresh)));
    }
    tried
}

#[test]
fn what_follows_a_lost_connection_follows_the_table() {
    use Connection::{Fresh, Reused};
    use Next::{GiveUp, OtherBackend, OtherOrSame, SameBackend};
    use Repeat::{Harmless, Risky};
    // With this connection: without and with a session on its backend.
    for (error, repeat, lost, hoped) in [
        (unanswered(Reused), Harmless, &[1][..], [SameBackend; 2]),
        (
            unanswered(Fresh),
            Harmless,
            &[1],
            [OtherOrSame, SameBackend],
        ),
        (unanswered(Fresh), Harmless, &[2], [OtherBackend; 2]),
        (unanswered(Reused), Harmless, &[2], [OtherBackend; 2]),
        (unanswered(Fresh), Harmless, &[1, 1], [GiveUp; 2]),
        (unanswered(Fresh), Harmless, &[2, 1], [GiveUp; 2]),
        (unanswered(Reused), Harmless, &[1, 1], [GiveUp; 2]),
        (unanswered(Fresh), Harmless, &[1, 0, 1], [GiveUp; 2]),
        // The last that may be tried, and the first that has lost it.
        (
            unanswered(Fresh),
            Harmless,
            &[0, 0, 1],
            [OtherOrSame, SameBackend],
        ),
        (unanswered(Fresh), Harmless, &[0, 0, 2], [GiveUp; 2]),
        (unanswered(Reused), Risky, &[1], [GiveUp; 2]),
        (unanswered(Fresh), Risky, &[1], [GiveUp; 2]),
        (unsent(Reused), Risky, &[0], [SameBackend; 2]),
        (unsent(Reused), Risky, &[0, 0, 0], [SameBackend; 2]),
        (unsent(Fresh), Risky, &[1], [OtherOrSame, SameBackend]),
        (unsent(Fresh), Risky, &[2], [OtherBackend; 2]),
        (unsent(Fresh), Risky, &[1, 1], [GiveUp; 2]),
    ] {
        let tried = after(lost);
        let bonds = [Bond::None, Bond::Session];
        let got = bonds.map(|bond| next(error, repeat, bond, &tried));
        assert_eq!(got, hoped, "{error:?} {repeat:?} {lost:?}");
    }
}

#[test]
fn what_follows_anything_else_follows_the_table() {
    use Connection::{Fresh, Reused};
    use Repeat::{Harmless, Risky};
    let of = |side, cause| AttemptError {
        side,
        reached: Reached::Nothing,
        cause,
    };
    let late = upstream(Reached::Nothing, Cause::TimedOut);
    for (error, repeat, lost, hoped) in [
        (refused(), Risky, &[0][..], Next::OtherBackend),
        (refused(), Harmless, &[0, 0], Next::OtherBackend),
        (refused(), Harmless, &[0, 0, 0], Next::GiveUp),
        (refused(), Harmless, &[1], Next::OtherBackend),
        (refused(), Harmless, &[1, 0], Next::OtherBackend),
        (late, Risky, &[0], Next::OtherBackend),
        (
            of(Side::Proxy, Cause::Shortage),
            Risky,
            &[0],
            Next::OtherBackend,
        ),
        (
            of(Side::Proxy, Cause::Drained),
            Harmless,
            &[0],
            Next::GiveUp,
        ),
        (of(Side::Client, Cause::Lost), Harmless, &[0], Next::GiveUp),
        (
            upstream(Reached::Sent(Fresh), Cause::TimedOut),
            Harmless,
            &[1],
            Next::GiveUp,
        ),
        (
            upstream(Reached::Sent(Reused), Cause::Malformed),
            Harmless,
            &[1],
            Next::GiveUp,
        ),
    ] {
        for bond in [Bond::None, Bond::Session] {
            let got = next(error, repeat, bond, &after(lost));
            assert_eq!(got, hoped, "{error:?} {repeat:?} {lost:?}");
        }
    }
}

#[test]
fn who_is_asked_follows_the_table() {
    use Own::{Doubtful, Ready};
    let [room, full, none] = [Others::Room(7), Others::Full, Others::None];
    let [same, other, wait] = [Step::Same, Step::Other(7), Step::Wait];
    for (next, own, hoped) in [
        (Next::SameBackend, Ready, [same; 3]),
        (Next::SameBackend, Doubtful, [other, wait, same]),
        (Next::OtherOrSame, Ready, [other, same, same]),
        (Next::OtherOrSame, Doubtful, [other, wait, same]),
        (Next::OtherBackend, Ready, [other, wait, Step::GiveUp]),
        (Next::OtherBackend, Doubtful, [other, wait, Step::GiveUp]),
        (Next::GiveUp, Ready, [Step::GiveUp; 3]),
        (Next::GiveUp, Doubtful, [Step::GiveUp; 3]),
    ] {
        let got = [room, full, none].map(|others| step(next, own, &after(&[1]), || others));
        assert_eq!(got, hoped, "{next:?} {own:?}");
        let got = step(next, own, &after(&[0, 0, 1]), || -> Others<u8> {
            panic!("three have been tried")
        });
        assert!(matches!(got, Step::Same | Step::GiveUp), "{next:?} {own:?}");
    }
    for (next, own) in [(Next::SameBackend, Ready), (Next::GiveUp, Ready)] {
        step(next, own, &after(&[1]), || -> Others<u8> {
            panic!("no room is taken in vain: {next:?}")
        });
    }
}

#[test]
fn retries_are_paid_for_once_and_failures_are_counted_where_they_are_some() {
    use Connection::{Fresh, Reused};
    for (error, lost, hoped) in [
        (refused(), &[0][..], Price::One),
        (refused(), &[1], Price::Free),
        (refused(), &[1, 0], Price::One),
        (unsent(Reused), &[0], Price::Free),
        (unsent(Fresh), &[1], Price::One),
        (unanswered(Reused), &[1], Price::One),
        (unanswered(Fresh), &[2], Price::One),
    ] {
        assert_eq!(price(error, &after(lost)), hoped, "{error:?} {lost:?}");
    }
    let shortage = AttemptError {
        side: Side::Proxy,
        reached: Reached::Nothing,
        cause: Cause::Shortage,
    };
    for (error, next, hoped) in [
        (unanswered(Reused), Next::SameBackend, false),
        (unsent(Reused), Next::SameBackend, false),
        (unanswered(Reused), Next::GiveUp, true),
        (unanswered(Fresh), Next::SameBackend, true),
        (unanswered(Fresh), Next::OtherOrSame, true),
        (refused(), Next::OtherBackend, true),
        (shortage, Next::OtherBackend, false),
    ] {
        assert_eq!(is_failure(error, next), hoped, "{error:?} {next:?}");
    }
}

#[test]
fn the_next_backend_is_asked_on_a_new_connection_once_one_was_lost() {
    use Connection::{Fresh, Reused};
    for (lost, hoped) in [(&[0][..], Reused), (&[0, 0], Reused), (&[1, 0], Fresh)] {
        assert_eq!(after(lost).connection(Reused), hoped, "{lost:?}");
        assert_eq!(after(lost).connection(Fresh), Fresh);
    }
}

/// What an attempt meets: how it ends, and what those are like whom it may go to.
type Meeting = (AttemptError, Own, Others<()>);

fn any_meeting() -> impl Strategy<Value = Meeting> {
    let side = prop_oneof![
        8 => Just(Side::Upstream), 1 => Just(Side::Proxy), 1 => Just(Side::Client)
    ];
    let cause = prop_oneof![
        8 => Just(Cause::Lost),
        4 => Just(Cause::Refused),
        1 => Just(Cause::TimedOut),
        1 => Just(Cause::Malformed),
        1 => Just(Cause::Shortage),
        1 => Just(Cause::Drained),
    ];
    let own = prop_oneof![Just(Own::Ready), Just(Own::Doubtful)];
    let others = prop_oneof![
        3 => Just(Others::Room(())), 1 => Just(Others::Full), 1 => Just(Others::None)
    ];
    (side, 0..3u8, cause, own, others).prop_map(|(side, far, cause, own, others)| {
        // On which connection is the walk's to say.
        let reached = match far {
            0 => Reached::Nothing,
            1 => Reached::Connected(Connection::Fresh),
            _ => Reached::Sent(Connection::Fresh),
        };
        let error = AttemptError {
            side,
            reached,
            cause,
        };
        (error, own, others)
    })
}

/// What has become of one request, no attempt of which was answered.
#[derive(Debug, Default)]
struct Walk {
    attempts: usize,
    /// Connections on which it may have been acted on, by backend.
    sent: Vec<u32>,
    /// Connections that were lost with it, by backend.
    lost: Vec<u32>,
    paid: u32,
}

fn walk(meetings: &[Meeting], first_on: Connection, repeat: Repeat, bond: Bond) -> Walk {
    let (mut walk, mut tried, mut on) = (Walk::default(), Tried::default(), first_on);
    let mut bond = bond;
    let enter = |walk: &mut Walk, tried: &mut Tried| {
        tried.insert(walk.sent.len());
        walk.sent.push(0);
        walk.lost.push(0);
    };
    enter(&mut walk, &mut tried);
    for (mut error, own, others) in meetings.iter().copied() {
        let here = walk.sent.len() - 1;
        walk.attempts += 1;
        match &mut error.reached {
            Reached::Nothing => {}
            Reached::Connected(used) => {
                *used = on;
                walk.lost[here] += u32::from(on == Connection::Fresh);
            }
            Reached::Sent(used) => {
                *used = on;
                walk.lost[here] += 1;
                walk.sent[here] += 1;
            }
        }
        tried.handle_error(error);
        let next = next(error, repeat, bond, &tried);
        let step = step(next, own, &tried, || others);
        if step != Step::GiveUp {
            walk.paid += u32::from(price(error, &tried) == Price::One);
        }
        on = match step {
            Step::Same => Connection::Fresh,
            Step::Other(()) | Step::Wait => {
                enter(&mut walk, &mut tried);
                bond = Bond::None;
                tried.connection(first_on)
            }
            Step::GiveUp => return walk,
        };
    }
    panic!("it has no end: {walk:?}");
}

proptest! {
    #[test]
    fn every_request_has_an_end_and_does_bounded_harm(
        meetings in proptest::collection::vec(any_meeting(), ATTEMPTS_MAX),
        is_reused in any::<bool>(), is_harmless in any::<bool>(), is_session in any::<bool>(),
    ) {
        let on = if is_reused { Connection::Reused } else { Connection::Fresh };
        let repeat = if is_harmless { Repeat::Harmless } else { Repeat::Risky };
        let bond = if is_session { Bond::Session } else { Bond::None };
        let walk = walk(&meetings, on, repeat, bond);
        let lost: u32 = walk.lost.iter().sum();
        let backends_lost = walk.lost.iter().filter(|&&count| count > 0).count();
        let sent: u32 = walk.sent.iter().sum();
        prop_assert!(walk.sent.len() <= BACKENDS_TRIED_MAX, "{walk:?}");
        prop_assert!(lost <= u32::from(LOST_MAX), "{walk:?}");
        prop_assert!(backends_lost <= usize::from(BACKENDS_LOST_MAX), "{walk:?}");
        prop_assert!(walk.lost.iter().all(|&count| count <= 2), "{walk:?}");
        prop_assert!(is_harmless || sent <= 1, "it may have been acted on: {walk:?}");
        prop_assert!(sent.saturating_sub(1) <= walk.paid, "each repeat is paid for: {walk:?}");
    }
}

/// Three backends, each on a kept connection and one in its place; and the last once more.
const ATTEMPTS_MAX: usize = 7;
