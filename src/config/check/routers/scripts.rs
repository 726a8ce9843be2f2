//! The section `track_scripts`: programs that say how a node is.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::TrackScriptConfig;
use crate::config::check::values::{duration_or, number_or};
use crate::config::reader::{Fields, Value, is_name};
use crate::config::report::{Problems, shown};
use crate::config::track::Thresholds;

/// The section, as far as it is right.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// Every name in the section, right or wrong.
    pub(crate) names: Vec<String>,
    /// Those that are right.
    pub(crate) checked: Vec<TrackScriptConfig>,
}

/// Checks the section; what is wrong in it is among the problems.
pub(crate) fn check(section: Value<'_>, problems: &mut Problems) -> Scripts {
    let mut scripts = Scripts::default();
    for entry in section
        .entries("scripts by name", problems)
        .into_iter()
        .flatten()
    {
        scripts.names.push(entry.name.to_owned());
        scripts.checked.extend(check_script(entry, problems));
    }
    scripts
}

fn check_script(entry: Value<'_>, problems: &mut Problems) -> Option<TrackScriptConfig> {
    let known = &["command", "interval", "timeout", "rise", "fall", "user"];
    let fields = entry.fields(known, problems)?;
    let command = check_command(&fields, problems);
    let interval = duration_or(&fields, "interval", INTERVAL, INTERVALS, problems);
    let default = interval.unwrap_or(INTERVAL).min(TIMEOUT_MAX);
    let timeouts = INTERVAL_MIN..=TIMEOUT_MAX;
    let timeout = duration_or(&fields, "timeout", default, timeouts, problems);
    let rise = number_or(&fields, "rise", 1, 1..=COUNT_MAX, problems);
    let fall = number_or(&fields, "fall", 1, 1..=COUNT_MAX, problems);
    let user = check_user(&fields, problems);
    let (program, arguments) = command?;
    Some(TrackScriptConfig {
        name: entry.name.to_owned(),
        program,
        arguments,
        interval: interval?,
        timeout: timeout?,
        thresholds: Thresholds {
            rise: rise?,
            fall: fall?,
        },
        user: user?,
    })
}

fn check_command(fields: &Fields<'_>, problems: &mut Problems) -> Option<(PathBuf, Vec<String>)> {
    let value = fields.need("command", "[/usr/local/bin/check]", problems)?;
    let items = value.items("a program and its arguments", problems)?;
    let mut words = Vec::with_capacity(items.len());
    for item in &items {
        words.push(item.text("a word of the command", problems)?);
    }
    let Some((program, arguments)) = words.split_first() else {
        value.wrong("command names no program", problems);
        return None;
    };
    if !program.starts_with('/') {
        let message = format!("`{}` is not an absolute path", shown(program));
        let help = "no shell reads a command: its first word is the path of a program";
        items.first()?.wrong_with_help(message, help, problems);
        return None;
    }
    let arguments = arguments.iter().map(|word| (*word).to_owned());
    Some((PathBuf::from(program), arguments.collect()))
}

fn check_user(fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    let Some(value) = fields.get("user") else {
        return Some(USER.to_owned());
    };
    let name = value.text("the name of a user", problems)?;
    if name == "root" || !is_name(name, USER_CHARS_MAX) {
        let message = format!("user cannot be `{}`", shown(name));
        let help =
            "a script runs as a user that owns nothing; leave `user` out for evenkeel-script";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(name.to_owned())
}

/// Under whose name scripts run.
const USER: &str = "evenkeel-script";
/// The longest name of a user (useradd(8)).
const USER_CHARS_MAX: usize = 32;
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVALS: std::ops::RangeInclusive<Duration> = INTERVAL_MIN..=Duration::from_secs(3600);
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// More runs than this are a mistake.
const COUNT_MAX: u32 = 100;
