//! The key `buffer_requests` of a pool.

use std::ops::RangeInclusive;

use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::config::{RequestBuffering, SIZE_UNITS, Size};

/// Returns how much of bodies is kept; `Some(None)`: they are not kept.
pub(super) fn check(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<RequestBuffering>> {
    let Some(value) = fields.get("buffer_requests") else {
        return Some(None);
    };
    let default = RequestBuffering::default();
    match &value.node.kind {
        Kind::Bool(true) => Some(Some(default)),
        Kind::Bool(false) => Some(None),
        Kind::Map(_) => {
            let fields = value.fields(&["memory", "disk"], problems)?;
            let memory = fields.get("memory");
            let memory = memory.map_or(Some(default.memory as u64), |value| {
                size(value, MEMORY, "", problems)
            });
            let disk = fields.get("disk");
            let disk = disk.map_or(Some(default.disk), |value| match &value.node.kind {
                Kind::Int(0) => Some(0),
                Kind::Null
                | Kind::Bool(_)
                | Kind::Int(_)
                | Kind::Float(_)
                | Kind::Text(_)
                | Kind::List(_)
                | Kind::Map(_) => size(value, DISK, " or 0", problems),
            });
            Some(Some(RequestBuffering {
                memory: usize::try_from(memory?).ok()?,
                disk: disk?,
            }))
        }
        Kind::Null | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) | Kind::List(_) => {
            let message = "buffer_requests must be true, false or a map";
            let help = "write `true`, or what differs from the defaults: `{disk: 1GiB}`";
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

/// Returns a number of bytes, with a unit or without.
fn size(
    value: Value<'_>,
    range: RangeInclusive<u64>,
    or: &str,
    problems: &mut Problems,
) -> Option<u64> {
    let name = value.name;
    let size = match &value.node.kind {
        Kind::Int(bytes) => u64::try_from(*bytes).ok(),
        Kind::Text(text) => match parse(text) {
            Some(bytes) => Some(bytes),
            None => {
                let message = format!("{name} cannot be `{}`: not a size", shown(text));
                let help = "sizes are written 65536, 64KiB, 100MiB or 1GiB";
                value.wrong_with_help(message, help, problems);
                return None;
            }
        },
        Kind::Null | Kind::Bool(_) | Kind::Float(_) | Kind::List(_) | Kind::Map(_) => {
            value.expected("a size, as `64KiB`", problems);
            return None;
        }
    };
    if let Some(bytes) = size.filter(|bytes| range.contains(bytes)) {
        return Some(bytes);
    }
    let (least, most) = (Size(*range.start()), Size(*range.end()));
    value.wrong(
        format!("{name} must be between {least} and {most}{or}"),
        problems,
    );
    None
}

fn parse(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

const MEMORY: RangeInclusive<u64> = 64 * 1024..=1024 * 1024;
const DISK: RangeInclusive<u64> = 1024 * 1024..=1 << 40;
