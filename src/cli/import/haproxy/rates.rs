//! Stick tables that count clients, and the rules that refuse them, as `limits` of a listener.
//!
//! What is known: `http_req_rate`, `conn_rate` and `conn_cur` by source address, and rules that
//! deny above a number and look at nothing else.

use super::sections::Section;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::time;
use crate::cli::import::yaml::{Map, Yaml};

/// Takes a rule that refuses who comes too often; returns whether it is one.
pub fn take(
    line: &Line,
    section: &Section,
    sections: &[Section],
    limits: &mut Map,
    remarks: &mut Remarks,
) -> bool {
    let denies = match (line.word(0), line.word(1), line.word(2)) {
        ("http-request", "deny" | "tarpit" | "silent-drop" | "reject", _) => true,
        ("tcp-request", "connection" | "content" | "session", "reject") => true,
        ("http-request", word, _) | ("tcp-request", _, word) if word.starts_with("track-sc") => {
            return tracked(line, remarks);
        }
        _ => false,
    };
    let Some(at) = line
        .words
        .iter()
        .position(|word| word == "if")
        .filter(|_| denies)
    else {
        return false;
    };
    let test = match line.from(at + 1) {
        [open, test @ .., close] if open == "{" && close == "}" => test.to_vec(),
        [name] => {
            let acls = section.own.iter().filter(|acl| acl.word(0) == "acl");
            let mut named = acls.filter(|acl| acl.word(1) == name.as_str());
            match (named.next(), named.next()) {
                (Some(acl), None) => acl.from(2).to_vec(),
                (_, _) => return false,
            }
        }
        _ => return false,
    };
    let Some((counter, limit)) = counter(&test) else {
        return false;
    };
    let table = table_of(line, section, sections, &test, counter);
    let period = table.as_ref().and_then(|table| period(table, counter));
    let (key, value) = match (counter, period) {
        ("conn_cur", _) => ("connections_per_client", Some(Yaml::word(limit))),
        ("conn_rate", Some(ms)) => ("connection_rate_per_client", rate(limit, ms)),
        ("http_req_rate", Some(ms)) => ("requests_per_client", rate(limit, ms)),
        (_, _) => return false,
    };
    let Some(value) = value else {
        return false;
    };
    // Of several rules the strictest decides.
    let burst = |value: &Yaml| match value {
        Yaml::Map(map) => map.get("burst").map_or(String::new(), Yaml::flow),
        Yaml::Word(_) | Yaml::Text(_) | Yaml::List(_) => value.flow(),
    };
    let before = limits
        .get(key)
        .and_then(|old| burst(old).parse::<u64>().ok());
    if before.is_none_or(|before| limit < before) {
        limits.set(key, value);
    }
    let why = format!("refused above `{key}` of the listener, with 429 or 503");
    remarks.otherwise(line, why);
    true
}

/// Returns the table in which this is counted.
fn table_of(
    line: &Line,
    section: &Section,
    sections: &[Section],
    test: &[String],
    counter: &str,
) -> Option<Line> {
    sections
        .iter()
        .filter(|other| {
            other.name == section.name
                || test
                    .iter()
                    .chain(&line.words)
                    .any(|w| w.contains(&other.name))
                || names_table(section, &other.name)
        })
        .find_map(|other| {
            let tables = other
                .own
                .iter()
                .filter(|line| line.word(0) == "stick-table");
            let has = |table: &&Line| table.words.iter().any(|word| word.contains(counter));
            tables.clone().find(has).cloned()
        })
}

fn tracked(line: &Line, remarks: &mut Remarks) -> bool {
    let key = line
        .words
        .iter()
        .position(|word| word.starts_with("track-sc"));
    let key = key.map_or("", |at| line.word(at + 1));
    if key == "src" {
        remarks.otherwise(line, "`limits` of a listener count clients by themselves");
        return true;
    }
    false
}

fn names_table(section: &Section, name: &str) -> bool {
    section.own.iter().any(|line| {
        let at = line.words.iter().position(|word| word == "table");
        at.is_some_and(|at| line.word(at + 1) == name)
    })
}

/// Returns what is counted, and above which number a test holds.
fn counter(test: &[String]) -> Option<(&'static str, u64)> {
    let (fetch, rest) = test.split_first()?;
    let counter = ["http_req_rate", "conn_rate", "conn_cur"]
        .into_iter()
        .find(|counter| fetch.contains(counter))?;
    let known = ["sc", "src_"].iter().any(|begin| fetch.starts_with(begin));
    let number: u64 = rest.last()?.parse().ok()?;
    let limit = match rest.first()?.as_str() {
        "gt" => number,
        "ge" => number.saturating_sub(1),
        _ => return None,
    };
    known.then_some((counter, limit.clamp(1, 1_000_000)))
}

fn period(table: &Line, counter: &str) -> Option<u64> {
    let word = table.words.iter().find(|word| word.contains(counter))?;
    let at = word.find(counter)?;
    let inside = word[at + counter.len()..].strip_prefix('(')?;
    time(inside.split(')').next()?, 1).filter(|ms| *ms > 0)
}

/// Returns so many in a period as a rate, all of which may come at once.
fn rate(count: u64, period_ms: u64) -> Option<Yaml> {
    let units = [(1000, "s"), (60_000, "m"), (3_600_000, "h")];
    let exact = |(ms, unit): (u64, &'static str)| {
        let number = count.checked_mul(ms)? / period_ms;
        let is_exact = number.checked_mul(period_ms)? == count.checked_mul(ms)?;
        (is_exact && (1..=1_000_000).contains(&number)).then(|| format!("{number}/{unit}"))
    };
    let rounded = || {
        let number = (count.checked_mul(3_600_000)? / period_ms).clamp(1, 1_000_000);
        Some(format!("{number}/h"))
    };
    let rate = units.into_iter().find_map(exact).or_else(rounded)?;
    let map = Map::default()
        .with("rate", Yaml::word(rate))
        .with("burst", Yaml::word(count));
    Some(Yaml::Map(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_period_are_a_rate() {
        let shown = |count, ms| rate(count, ms).map(|yaml| yaml.flow());
        assert_eq!(
            shown(100, 10_000).as_deref(),
            Some("{rate: 10/s, burst: 100}")
        );
        assert_eq!(
            shown(20, 60_000).as_deref(),
            Some("{rate: 20/m, burst: 20}")
        );
        assert_eq!(shown(5, 10_000).as_deref(), Some("{rate: 30/m, burst: 5}"));
        assert_eq!(shown(1, 7000).as_deref(), Some("{rate: 514/h, burst: 1}"));
    }
}
