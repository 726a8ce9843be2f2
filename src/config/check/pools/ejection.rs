//! The key `ejection` of a pool.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::EjectionRules;
use crate::config::check::values::{duration_or, number_or};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::Problems;

/// Returns when a backend is ejected; `Some(None)`: never.
pub(super) fn check(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<EjectionRules>> {
    let Some(value) = fields.get("ejection") else {
        return Some(None);
    };
    let default = EjectionRules::default();
    match &value.node.kind {
        Kind::Bool(true) => Some(Some(default)),
        Kind::Bool(false) => Some(None),
        Kind::Map(_) => check_rules(value, default, problems).map(Some),
        Kind::Null | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) => {
            let message = "ejection must be true, false or a map";
            let help = "write `true`, or what differs from the defaults: `{failures: 50%}`";
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

fn check_rules(
    value: Value<'_>,
    default: EjectionRules,
    problems: &mut Problems,
) -> Option<EjectionRules> {
    let known = &[
        "consecutive_failures",
        "failures",
        "requests",
        "interval",
        "time",
        "time_max",
        "most",
    ];
    let fields = value.fields(known, problems)?;
    let mut count = |key, default: u16, range| {
        let number = number_or(&fields, key, default.into(), range, problems)?;
        u16::try_from(number).ok()
    };
    let in_a_row = default.consecutive_failures;
    let consecutive_failures = count("consecutive_failures", in_a_row, 1..=FAILURES_MAX);
    let requests = count("requests", default.requests, 2..=REQUESTS_MAX);
    let failures = percent_or(&fields, "failures", default.failures, 1..=100, problems);
    let most = percent_or(&fields, "most", default.most, 1..=MOST_MAX, problems);
    let range = INTERVAL_MIN..=HOUR;
    let interval = duration_or(&fields, "interval", default.interval, range, problems);
    let time = duration_or(&fields, "time", default.time, TIME_MIN..=DAY, problems);
    let longest = default.time_max.max(time.unwrap_or_default());
    let time_max = duration_or(&fields, "time_max", longest, TIME_MIN..=DAY, problems);
    if let (Some(time), Some(time_max), Some(value)) = (time, time_max, fields.get("time_max"))
        && time_max < time
    {
        let message = "time_max is shorter than `time`, which the first ejection lasts";
        value.wrong_with_help(message, "make it at least as long", problems);
        return None;
    }
    Some(EjectionRules {
        consecutive_failures: consecutive_failures?,
        failures: failures?,
        requests: requests?,
        interval: interval?,
        time: time?,
        time_max: time_max?,
        most: most?,
    })
}

/// Returns the percentage under a key, `50%`, or its default where the key is absent.
fn percent_or(
    fields: &Fields<'_>,
    key: &str,
    default: u8,
    range: RangeInclusive<u8>,
    problems: &mut Problems,
) -> Option<u8> {
    let Some(value) = fields.get(key) else {
        return Some(default);
    };
    let number = match &value.node.kind {
        Kind::Text(text) => text
            .strip_suffix('%')
            .and_then(|digits| digits.parse().ok()),
        Kind::Int(_)
        | Kind::Float(_)
        | Kind::Null
        | Kind::Bool(_)
        | Kind::List(_)
        | Kind::Map(_) => None,
    };
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = range.into_inner();
        let message = format!("{key} must be a share between {least}% and {most}%");
        let help = match most {
            MOST_MAX => "write `50%`; half of a pool is never ejected".to_owned(),
            _ => format!("write `{default}%`"),
        };
        value.wrong_with_help(message, help, problems);
    }
    number
}

const FAILURES_MAX: u32 = 1000;
const REQUESTS_MAX: u32 = 10_000;
/// More is never ejected.
const MOST_MAX: u8 = 50;
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const TIME_MIN: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
