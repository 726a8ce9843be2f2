//! One line of the log on its way from a child to the supervisor, which prints it.
//!
//! A child may be in the hands of a stranger, and its lines stand beside the supervisor's own:
//! levels and names of fields are words of a list, and what is free text is bounded and printed
//! escaped (`log`).

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The fixed text.
    pub message: String,
    /// In the order they were given.
    pub fields: Vec<(LogField, String)>,
    /// Lines lost before this one because the channel was full, or because there were too many.
    pub dropped: u64,
}

impl LogLine {
    /// Cuts what is longer than a line of the log needs.
    pub fn bounded(mut self) -> Self {
        cut(&mut self.message, MESSAGE_BYTES_MAX);
        self.fields.truncate(FIELDS_MAX);
        for (_, value) in &mut self.fields {
            cut(value, VALUE_BYTES_MAX);
        }
        self
    }

    /// Returns about how many bytes it is printed as.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize = fields
            .map(|(name, value)| name.0.len() + value.len() + 4)
            .sum();
        LINE_BYTES + self.message.len() + fields
    }
}

/// How much a line matters, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// An operator must act.
    Error,
    /// Unexpected, and coped with.
    Warn,
    /// A state or a configuration changed.
    Info,
    /// A decision.
    Debug,
    /// A packet or a request.
    Trace,
}

impl LogLevel {
    /// Returns its name in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// The name of a field, one of [`LogField::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogField(&'static str);

impl LogField {
    /// Every name that a field of the log may have.
    pub const NAMES: [&str; 56] = [
        "process",
        "interface",
        "vrid",
        "family",
        "from",
        "to",
        "cause",
        "priority",
        "peer",
        "address",
        "mac",
        "listener",
        "route",
        "pool",
        "backend",
        "client",
        "method",
        "path",
        "status",
        "attempt",
        "check",
        "bytes",
        "duration_ms",
        "generation",
        "error",
        "router",
        "entry",
        "child",
        "pid",
        "ended",
        "fitness",
        "node",
        "version",
        "virtual_routers",
        "listeners",
        "pools",
        "signal",
        "silent_ms",
        "program",
        "user",
        "overruns",
        "cut",
        "dropped",
        "connections",
        "requests",
        "thread",
        "threads",
        "worker",
        "limit",
        "wanted",
        "doing",
        "count",
        "script",
        "file",
        "errno",
        "field",
    ];

    /// Returns the field of this name; what is not in the list is called `field`.
    pub fn of(name: &str) -> Self {
        let known = Self::NAMES.into_iter().find(|known| *known == name);
        Self(known.unwrap_or("field"))
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl Serialize for LogField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for LogField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = LogField;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }
            fn visit_str<E>(self, name: &str) -> Result<LogField, E> {
                Ok(LogField::of(name))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// Cuts a text to so many bytes, at the end of a character.
pub fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
}

/// Returns a text without characters that a terminal would obey, cut to what people read.
pub fn printable(text: &str) -> String {
    let mut short = text.to_owned();
    cut(&mut short, TEXT_BYTES_MAX);
    if !short.chars().any(char::is_control) {
        return short;
    }
    short.escape_debug().to_string()
}

/// The longest text in what a process says beside lines.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// The longest message; messages are fixed texts.
const MESSAGE_BYTES_MAX: usize = 256;
/// The longest value of a field: a chain of errors, a path.
const VALUE_BYTES_MAX: usize = 1_024;
/// More fields than any line has.
const FIELDS_MAX: usize = 16;
/// Time, level, process and line feed.
const LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn level_that_is_no_level_is_no_line_and_an_unknown_field_loses_its_name() {
        let line = |level: &str, field: &str| {
            let text = format!(
                r#"{{"level":{level:?},"message":"m","fields":[[{field:?},"v"]],"dropped":0}}"#
            );
            serde_json::from_str::<LogLine>(&text)
        };
        assert!(line("error\n2026 forged", "cause").is_err());
        assert!(line("ERROR", "cause").is_err(), "not even in capitals");
        let field = |name| line("warn", name).unwrap().fields[0].0.name();
        assert_eq!(field("cause"), "cause");
        assert_eq!(field("process=evenkeel\n"), "field");
    }

    #[test]
    fn line_is_bounded_whatever_its_parts_are() {
        let long = "\u{e9}".repeat(1_000_000);
        let line = LogLine {
            level: LogLevel::Warn,
            message: long.clone(),
            fields: vec![(LogField::of("cause"), long); 1_000],
            dropped: 0,
        };
        let bounded = line.bounded();
        assert!(bounded.bytes() < 20_000, "{}", bounded.bytes());
        assert_eq!(bounded.message.len(), MESSAGE_BYTES_MAX + 3);
    }
}
