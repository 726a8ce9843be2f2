//! The text as Prometheus gets it. `netns-tests` has promtool read it.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use super::{Format, openmetrics, text};
use crate::process::admin::page::tests::{many, sample};

#[test]
fn every_metric_stands_in_the_manual() {
    let text = openmetrics(&sample("lb1"), 1_790_000_000_000).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/evenkeel.8");
    let manual = std::fs::read_to_string(path).unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            names.insert(format!("{name}{suffix}"));
        }
    }
    assert!(names.len() > 40, "{names:?}");
    let has = |name: &String| {
        let entry = format!(".It Va {name}");
        manual
            .lines()
            .any(|line| line == entry || line.starts_with(&format!("{entry} ")))
    };
    let missing: Vec<_> = names.iter().filter(|name| !has(name)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "in man/evenkeel.8");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_name_is_quoted_and_a_histogram_adds_up() {
    let mut status = sample("a\"b\\c\nd");
    status.pools[0].response_times.buckets = vec![1; 15];
    status.pools[0].response_times.sum_us = 1_500_000;
    let text = openmetrics(&status, 0).unwrap();
    assert!(text.contains(r#"node="a\"b\\c\nd""#), "{text}");
    for line in [
        r#"evenkeel_pool_response_seconds_bucket{le="0.001",pool="web"} 1"#,
        r#"evenkeel_pool_response_seconds_bucket{le="30.0",pool="web"} 14"#,
        r#"evenkeel_pool_response_seconds_bucket{le="+Inf",pool="web"} 15"#,
        r#"evenkeel_pool_response_seconds_sum{pool="web"} 1.5"#,
        r#"evenkeel_pool_response_seconds_count{pool="web"} 15"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
}

#[test]
fn metrics_of_a_large_node_are_bounded() {
    let text = text(&many(250, 100, 50), 0, Format::Plain).unwrap();
    assert!(text.len() < 4_000_000, "{}", text.len());
}

#[test]
fn openmetrics_is_for_who_asks_for_it() {
    for (accept, hoped) in [
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2",
            Format::OpenMetrics,
        ),
        (
            "text/plain, Application/OpenMetrics-Text",
            Format::OpenMetrics,
        ),
        ("text/plain; version=0.0.4", Format::Plain),
        ("*/*", Format::Plain),
        ("", Format::Plain),
    ] {
        assert_eq!(Format::accepted_by(accept), hoped, "{accept}");
    }
}
