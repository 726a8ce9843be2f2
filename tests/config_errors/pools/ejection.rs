//! The key `ejection`.

use std::time::Duration;

use evenkeel::config::EjectionRules;
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, pool};

fn rules(text: &str) -> Option<EjectionRules> {
    accepted(&pool(&format!("ejection: {text}"))).pools[0].ejection
}

#[test]
fn an_ejection_has_defaults_and_bounds() {
    let default = EjectionRules::default();
    assert_eq!(accepted(&pool("slow_start: 0s")).pools[0].ejection, None);
    assert_eq!(rules("false"), None);
    assert_eq!(rules("true"), Some(default));
    let least = "{consecutive_failures: 1, failures: 1%, requests: 2, interval: 100ms, \
                 time: 100ms, time_max: 100ms, most: 1%}";
    let tenth = Duration::from_millis(100);
    let hoped = EjectionRules {
        consecutive_failures: 1,
        failures: 1,
        requests: 2,
        interval: tenth,
        time: tenth,
        time_max: tenth,
        most: 1,
    };
    assert_eq!(rules(least), Some(hoped));
    let most = "{consecutive_failures: 1000, failures: 100%, requests: 10000, interval: 1h, \
                time: 24h, most: 50%}";
    let day = Duration::from_secs(24 * 3600);
    let hoped = EjectionRules {
        consecutive_failures: 1000,
        failures: 100,
        requests: 10_000,
        interval: Duration::from_secs(3600),
        time: day,
        time_max: day,
        most: 50,
    };
    assert_eq!(rules(most), Some(hoped));
}

#[test]
fn an_ejection_is_one_or_not_or_a_map() {
    assert_snapshot!(errors(&pool("ejection: often")), @r#"
    error: ejection must be true, false or a map
     --> lb.yaml:6:15
      |
    6 |     ejection: often
      |               ^^^^^
    help: write `true`, or what differs from the defaults: `{failures: 50%}`
    "#);
}

#[test]
fn half_of_a_pool_is_never_ejected() {
    assert_snapshot!(errors(&pool("ejection: {most: 60%}")), @r#"
    error: most must be a share between 1% and 50%
     --> lb.yaml:6:22
      |
    6 |     ejection: {most: 60%}
      |                      ^^^
    help: write `50%`; half of a pool is never ejected
    "#);
}

#[test]
fn a_share_of_failures_has_its_sign_and_bounds() {
    assert_snapshot!(errors(&pool("ejection: {failures: 50}")), @r#"
    error: failures must be a share between 1% and 100%
     --> lb.yaml:6:26
      |
    6 |     ejection: {failures: 50}
      |                          ^^
    help: write `85%`
    "#);
    for share in ["0%", "101%", "-1%", "half", "50 %", "[]", "1.5%"] {
        let found = errors(&pool(&format!("ejection: {{failures: {share}}}")));
        assert!(found.contains("between 1% and 100%"), "{share}: {found}");
    }
}

#[test]
fn the_longest_ejection_is_not_shorter_than_the_first() {
    assert_snapshot!(errors(&pool("ejection: {time: 1m, time_max: 30s}")), @r#"
    error: time_max is shorter than `time`, which the first ejection lasts
     --> lb.yaml:6:36
      |
    6 |     ejection: {time: 1m, time_max: 30s}
      |                                    ^^^
    help: make it at least as long
    "#);
}

#[test]
fn numbers_and_times_of_an_ejection_have_bounds() {
    for (text, hoped) in [
        (
            "consecutive_failures: 0",
            "consecutive_failures must be between 1 and 1000",
        ),
        (
            "consecutive_failures: 1001",
            "consecutive_failures must be between 1 and 1000",
        ),
        ("requests: 1", "requests must be between 2 and 10000"),
        ("requests: 10001", "requests must be between 2 and 10000"),
        ("interval: 99ms", "interval must be between 100ms and 1h"),
        ("time: 99ms", "time must be between 100ms and 24h"),
        ("time_max: 25h", "time_max must be between 100ms and 24h"),
        ("base_time: 30s", "unknown key `base_time`"),
    ] {
        let found = errors(&pool(&format!("ejection: {{{text}}}")));
        assert!(found.contains(hoped), "{text}: {found}");
    }
}
