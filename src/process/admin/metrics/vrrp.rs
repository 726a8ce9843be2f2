//! Metrics of the virtual routers.

use std::fmt;

use super::families::Families;
use crate::ipc::control::{RouterStatus, Status};

/// Writes them.
pub(super) fn write(status: &Status, at_ms: u64, families: &mut Families<'_>) -> fmt::Result {
    let routers: Vec<Named<'_>> = status
        .virtual_routers
        .iter()
        .map(|router| (router.name.to_string(), router))
        .collect();
    for (name, help, value) in gauges(at_ms) {
        let all = routers.iter();
        families.gauge(
            name,
            help,
            all.map(|(router, it)| ([("router", router.as_str())], value(it))),
        )?;
    }
    states(&routers, families)?;
    counters(&routers, families)?;
    families.counter(
        "evenkeel_vrrp_events",
        "Counters of all virtual routers together, and of packets that were for none of them.",
        status
            .statistics
            .iter()
            .map(|(event, count)| ([("event", event.as_str())], *count)),
    )
}

type Gauge = (
    &'static str,
    &'static str,
    Box<dyn Fn(&RouterStatus) -> u64>,
);

/// Returns what has one value for each virtual router: its name, what it says, and whence.
fn gauges(at_ms: u64) -> [Gauge; 6] {
    [
        (
            "evenkeel_router_active",
            "Whether this node is the Active of a virtual router.",
            Box::new(|it| u64::from(it.state == "Active")),
        ),
        (
            "evenkeel_router_holds_addresses",
            "Whether its addresses are on this node.",
            Box::new(|it| u64::from(it.holds_addresses)),
        ),
        (
            "evenkeel_router_base_priority",
            "As configured, or by command.",
            Box::new(|it| it.base_priority.into()),
        ),
        (
            "evenkeel_router_effective_priority",
            "After tracking; 0 while it does not stand.",
            Box::new(|it| it.effective_priority.into()),
        ),
        (
            "evenkeel_router_peers",
            "Other routers that were heard.",
            Box::new(|it| u64::try_from(it.peers.len()).unwrap_or(u64::MAX)),
        ),
        (
            "evenkeel_router_transition_timestamp_seconds",
            "When it last changed state.",
            Box::new(move |it| at_ms.saturating_sub(it.since_ms) / 1000),
        ),
    ]
}

type Named<'s> = (String, &'s RouterStatus);

fn states(routers: &[Named<'_>], families: &mut Families<'_>) -> fmt::Result {
    let states = ["Initialize", "Backup", "Active"];
    let of_router = |(router, it): &'_ (String, &'_ RouterStatus)| {
        states.map(|state| (router.clone(), state, u64::from(it.state == state)))
    };
    let all: Vec<_> = routers.iter().flat_map(of_router).collect();
    families.gauge(
        "evenkeel_router_state",
        "1 for the state of a virtual router (RFC 9568 §6.4), 0 for the others.",
        all.iter().map(|(router, state, value)| {
            ([("router", router.as_str()), ("state", *state)], *value)
        }),
    )
}

fn counters(routers: &[Named<'_>], families: &mut Families<'_>) -> fmt::Result {
    families.counter(
        "evenkeel_router_events",
        "What has happened to a virtual router: counters of RFC 8347 §3 and beyond, by name.",
        routers.iter().flat_map(|(router, it)| {
            let counters = it.counters.iter();
            counters.map(|(event, count)| {
                (
                    [("router", router.as_str()), ("event", event.as_str())],
                    *count,
                )
            })
        }),
    )?;
    families.counter(
        "evenkeel_router_rejected_packets",
        "Packets that were refused, by reason.",
        routers.iter().flat_map(|(router, it)| {
            let rejected = it.rejected.iter();
            rejected.map(|(reason, count)| {
                (
                    [("router", router.as_str()), ("reason", reason.as_str())],
                    *count,
                )
            })
        }),
    )
}
