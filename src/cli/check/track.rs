//! With which priorities the nodes can stand, as a table for each entry that follows something, and
//! what is worth knowing of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::status::table;
use crate::config::{Config, VirtualRouterConfig};
use crate::logic::track::Source;
use crate::logic::track::outlook::{Outlook, outlooks};
use crate::model::{Priority, Rank};

/// Returns the tables of all entries; empty where nothing is followed.
pub(super) fn describe(config: &Config) -> String {
    let mut text = String::new();
    let mut seen = Vec::new();
    for router in &config.virtual_routers {
        let entry = &router.name.entry;
        if router.track.conditions.is_empty() || seen.contains(&entry) {
            continue;
        }
        seen.push(entry);
        text.push_str(&entry_table(config, router));
        let notes = restless(config, router);
        if !notes.is_empty() {
            // Writing to a text does not fail.
            let _ = write!(text, "\n{}\n", notes.join("\n"));
        }
    }
    text
}

/// Says where what is followed is there on one node because it is away on the other: two nodes that
/// follow it would hand the addresses back and forth for ever.
fn restless(config: &Config, router: &VirtualRouterConfig) -> Vec<String> {
    let all = config.virtual_routers.iter();
    let virtual_: Vec<_> = all.flat_map(|router| &router.addresses).collect();
    let is_virtual = |address: &IpAddr| virtual_.iter().any(|one| one.address == *address);
    let asked = router
        .track
        .gateways
        .iter()
        .flat_map(|gateway| &gateway.addresses);
    asked
        .filter(|address| is_virtual(address))
        .map(|address| {
            let entry = &router.name.entry;
            format!(
                "note: {entry}: the gateway {address} is a virtual address, which answers only while \
                 another node has it: the nodes would hand {entry} back and forth; follow a gateway \
                 that is no node of the group"
            )
        })
        .collect()
}

/// The columns: what each node stands with, the best first.
type Columns<'a> = Vec<(&'a str, Vec<Outlook>)>;

fn entry_table(config: &Config, router: &VirtualRouterConfig) -> String {
    let conditions = &router.track.conditions;
    let has_substitute = |source: &Source| match source {
        Source::Pool(name) => config
            .pool(name)
            .is_some_and(|it| it.fallback_pool().is_some()),
        Source::Proxy
        | Source::Script(_)
        | Source::Interface(_)
        | Source::File(_)
        | Source::Process(_)
        | Source::Gateway(_) => false,
    };
    let mut columns: Columns<'_> = router
        .priorities
        .keys()
        .filter_map(|node| {
            let rank = Rank::among(node, &router.priorities)?;
            Some((node.as_str(), outlooks(rank, conditions, has_substitute)))
        })
        .collect();
    if columns.is_empty() {
        let outlooks = outlooks(router.rank, conditions, has_substitute);
        columns.push((&config.node, outlooks));
    }
    columns.sort_by_key(|(_, outlooks)| std::cmp::Reverse(well(outlooks)));
    let heading = format!("TRACK {}", router.name.entry);
    let nodes = columns.iter().map(|(node, _)| (*node).to_owned());
    let mut rows = vec![std::iter::once(heading).chain(nodes).collect::<Vec<_>>()];
    let cases = columns.first().map_or(0, |(_, outlooks)| outlooks.len());
    for case in 0..cases {
        let of_node = |(_, outlooks): &(&str, Vec<Outlook>)| shown(outlooks[case].priority);
        let what = columns.first().map(|(_, all)| called(&all[case]));
        let row = what.into_iter().chain(columns.iter().map(of_node));
        rows.push(row.collect());
    }
    let mut text = format!("\n{}", table(&rows));
    let notes = notes(&router.name.entry, &columns);
    if !notes.is_empty() {
        // Writing to a text does not fail.
        let _ = write!(text, "\n{}\n", notes.join("\n"));
    }
    text
}

fn well(outlooks: &[Outlook]) -> Option<Priority> {
    outlooks.first()?.priority
}

fn shown(priority: Option<Priority>) -> String {
    priority.map_or_else(|| "fault".to_owned(), |priority| priority.to_string())
}

fn called(outlook: &Outlook) -> String {
    match outlook.failing.as_slice() {
        [] => "all well".to_owned(),
        [one] if outlook.is_substituted => format!("{one} fails, its fallback answers"),
        [one] => format!("{one} fails"),
        // One alone fails, or all.
        [_, _, ..] => "all of these fail".to_owned(),
    }
}

/// Says where the best node stays although something fails there, and where the higher address
/// decides.
fn notes(entry: &str, columns: &Columns<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let [(best, outlooks), (next, others), ..] = columns.as_slice() else {
        return notes;
    };
    let Some(next_well) = well(others) else {
        return notes;
    };
    let failing = outlooks
        .iter()
        .filter(|outlook| !outlook.failing.is_empty());
    let mut by_priority: BTreeMap<Priority, Vec<String>> = BTreeMap::new();
    for outlook in failing {
        if let Some(priority) = outlook.priority {
            let what = called(outlook);
            by_priority.entry(priority).or_default().push(what);
        }
    }
    for (priority, cases) in by_priority.range(next_well..).rev() {
        let cases = cases.join(", or ");
        notes.push(if *priority == next_well {
            format!(
                "note: {entry}: where {cases} on {best} it has {priority}, as {next} has: the higher \
                 address is Active"
            )
        } else {
            format!(
                "note: {entry}: {best} stays Active where {cases} there: {priority} is above the \
                 {next_well} of {next}"
            )
        });
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeName, parse};

    #[test]
    fn a_gateway_that_moves_with_the_nodes_is_warned_of() {
        let notes = |gateway: &str| {
            let yaml = format!(
                "virtual_routers:\n  web: {{interface: eth0, vrid: 1, priority: {{lb1: 150, lb2: 100}}, \
                 addresses: [192.0.2.1/24], track: [{{gateway: [{gateway}]}}]}}\n"
            );
            let config = parse("t.yaml", &yaml, NodeName::Given("lb1"));
            describe(&config.expect("it is right"))
        };
        let warned = "note: web: the gateway 192.0.2.1 is a virtual address";
        assert!(
            notes("192.0.2.1").contains(warned),
            "{}",
            notes("192.0.2.1")
        );
        assert!(!notes("192.0.2.254").contains("back and forth"));
    }
}
