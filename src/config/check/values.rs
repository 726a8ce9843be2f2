//! Values that several sections share: durations, socket addresses.
//!
//! A duration is never a bare number and never a float on its way.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, nearest};
use crate::config::report::{Problems, shown};
use crate::logic::http1::host::is_host;
use crate::logic::http1::request::cookie;

/// A span of time as it is written: `10ms`, `1.5s`, `2m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dur(pub(super) Duration);

impl Dur {
    /// Reads a duration: digits, perhaps a fraction, and a unit.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let unit_nanos: u128 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        if whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX {
            return None;
        }
        let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let nanos = whole.parse::<u128>().ok()? * unit_nanos
            + fraction.parse::<u128>().ok()? * unit_nanos / scale;
        Some(Self(Duration::from_nanos(u64::try_from(nanos).ok()?)))
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        match (self.0.subsec_nanos(), secs) {
            (0, 0) => f.write_str("0s"),
            (0, 1..) if secs.is_multiple_of(3600) => write!(f, "{}h", secs / 3600),
            (0, 1..) if secs.is_multiple_of(60) => write!(f, "{}m", secs / 60),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// Returns the duration of a value, inside a range.
pub(super) fn duration(
    value: Value<'_>,
    range: RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let name = value.name;
    let text = match &value.node.kind {
        Kind::Text(text) => text,
        Kind::Int(n) => {
            let message = format!("{name} has no unit");
            value.wrong_with_help(message, format!("write `{n}s` or `{n}ms`"), problems);
            return None;
        }
        Kind::Float(x) => {
            let message = format!("{name} has no unit");
            value.wrong_with_help(message, format!("write `{x}s` or `{x}ms`"), problems);
            return None;
        }
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => {
            value.expected("a duration", problems);
            return None;
        }
    };
    let Some(Dur(duration)) = Dur::parse(text) else {
        let message = format!("{name} cannot be `{}`: not a duration", shown(text));
        value.wrong_with_help(
            message,
            "durations are written 10ms, 1.5s, 2m or 1h",
            problems,
        );
        return None;
    };
    if !range.contains(&duration) {
        let (min, max) = (Dur(*range.start()), Dur(*range.end()));
        value.wrong(format!("{name} must be between {min} and {max}"), problems);
        return None;
    }
    Some(duration)
}

/// Returns the duration under a key, or its default where the key is absent.
pub(super) fn duration_or(
    fields: &Fields<'_>,
    key: &str,
    default: Duration,
    range: RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    match fields.get(key) {
        None => Some(default),
        Some(value) => duration(value, range, problems),
    }
}

/// Returns the number under a key, or its default where the key is absent.
pub(super) fn number_or(
    fields: &Fields<'_>,
    key: &str,
    default: u32,
    range: RangeInclusive<u32>,
    problems: &mut Problems,
) -> Option<u32> {
    match fields.get(key) {
        None => Some(default),
        Some(value) => value.number(*range.start(), *range.end(), problems),
    }
}

/// Returns the truth value under a key, or its default where the key is absent.
pub(super) fn flag(
    fields: &Fields<'_>,
    key: &str,
    default: bool,
    problems: &mut Problems,
) -> Option<bool> {
    fields
        .get(key)
        .map_or(Some(default), |value| truth(value, problems))
}

/// Returns the truth value of `node`: one for all, or one by the name of each node, where this one
/// must not be missing.
pub(super) fn flag_by_node(
    value: Value<'_>,
    node: Option<&str>,
    problems: &mut Problems,
) -> Option<bool> {
    match &value.node.kind {
        Kind::Map(_) => {}
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => {
            return truth(value, problems);
        }
    }
    let entries = value.entries("true or false by node", problems)?;
    let mut found = None;
    for entry in &entries {
        let this = truth(*entry, problems);
        if Some(entry.name) == node {
            found = Some(this);
        }
    }
    if let (None, Some(node)) = (found, node) {
        let message = format!("{} says nothing of this node, `{node}`", value.name);
        problems.add_with_help(value.key, message, format!("add `{node}: false`"));
    }
    found?
}

/// Returns what a word stands for that is one of a few; `write` says how to mend another one.
pub(super) fn one_of<T: Copy>(
    value: Value<'_>,
    what: &str,
    words: &[(&str, T)],
    write: &str,
    problems: &mut Problems,
) -> Option<T> {
    let text = value.text(what, problems)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{} cannot be `{}`", value.name, shown(text));
        let help = nearest(text, &known).map_or_else(
            || write.to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        value.wrong_with_help(message, help, problems);
    }
    found.map(|(_, meaning)| *meaning)
}

fn truth(value: Value<'_>, problems: &mut Problems) -> Option<bool> {
    match &value.node.kind {
        Kind::Bool(truth) => Some(*truth),
        Kind::Null
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => {
            value.expected("true or false", problems);
            None
        }
    }
}

/// What a socket address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Clients connect there; `0.0.0.0` and `[::]` mean every address.
    Bind,
    /// We connect there.
    Backend,
}

/// Returns an address with a port.
pub(super) fn socket_addr(
    value: Value<'_>,
    purpose: Use,
    problems: &mut Problems,
) -> Option<SocketAddr> {
    let text = value.text("an address with a port", problems)?;
    let Ok(addr) = text.parse::<SocketAddr>() else {
        let message = format!("`{}` is not an address with a port", shown(text));
        value.wrong_with_help(message, socket_addr_help(text), problems);
        return None;
    };
    match objection(addr, purpose) {
        None => Some(addr),
        Some(why) => {
            value.wrong(format!("`{}`: {why}", shown(text)), problems);
            None
        }
    }
}

/// Returns why an address cannot be used; `None` where it can.
pub(super) fn objection(addr: SocketAddr, purpose: Use) -> Option<&'static str> {
    match addr.ip() {
        _ if addr.port() == 0 => Some("the port must be between 1 and 65535"),
        ip if ip.is_multicast() => Some("a multicast address cannot be used here"),
        ip if ip.is_unspecified() && purpose == Use::Backend => {
            Some("a backend needs the address of one machine")
        }
        IpAddr::V4(ip) if ip.is_broadcast() => Some("a broadcast address cannot be used here"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Some("a link-local address cannot be used here: it says nothing about the interface")
        }
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            Some("an IPv4 address must be written as such")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Guesses what somebody meant who did not write an address with a port.
pub(super) fn socket_addr_help(text: &str) -> String {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => return format!("add the port: `\"{ip}:80\"`"),
        // Whether the last group is meant as a port cannot be told.
        Ok(IpAddr::V6(_)) => {
            return "put the address in brackets, then the port: `\"[2001:db8::10]:80\"`"
                .to_owned();
        }
        Err(_) => {}
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u32>().is_ok() => match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) => format!("put the address in brackets: `\"[{host}]:{port}\"`"),
            Ok(IpAddr::V4(_)) => "the port must be between 1 and 65535".to_owned(),
            Err(_) if host.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                format!("no name is looked up here, write the address: `\"192.0.2.10:{port}\"`")
            }
            Err(_) => SOCKET_ADDR_HELP.to_owned(),
        },
        Some(_) | None => SOCKET_ADDR_HELP.to_owned(),
    }
}

const SOCKET_ADDR_HELP: &str = "write `\"192.0.2.10:80\"` or `\"[2001:db8::10]:80\"`";

/// A longer number is no duration that anybody means.
const DIGITS_MAX: usize = 9;

/// Returns the name of a cookie, as RFC 6265 §4.1.1 has it.
pub(super) fn cookie_name(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let name = value.text("the name of a cookie", problems)?;
    if !cookie::is_name(name) {
        let message = format!("`{}` is no name of a cookie", shown(name));
        let help = "letters, digits, hyphens and underscores (RFC 6265 §4.1.1)";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(name.to_owned())
}

/// Returns a host, with a port where there is one.
pub(super) fn host(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let host = value.text("a host", problems)?;
    // As strict as with clients.
    if host.len() > HOST_BYTES_MAX || !is_host(host.as_bytes()) {
        let message = format!("host cannot be `{}`", shown(host));
        let help = "write a host name or an address, and a port where needed: `www.example.org`";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(host.to_owned())
}

const HOST_BYTES_MAX: usize = 255;

/// Returns the name of an interface, by the kernel's own rule.
pub(super) fn interface_name<'a>(value: Value<'a>, problems: &mut Problems) -> Option<&'a str> {
    let name = value.text("the name of an interface", problems)?;
    let good = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if !good {
        let message = format!("{} cannot be `{}`", value.name, shown(name));
        let help = "names of interfaces are 1 to 15 bytes without `/`, `:` and spaces";
        value.wrong_with_help(message, help, problems);
    }
    good.then_some(name)
}

/// What is wrong with a path that is not absolute.
pub(super) const PATH_HELP: &str = "the daemon runs in no directory of yours";

/// Returns an absolute path.
pub(super) fn path(
    value: Value<'_>,
    what: &str,
    help: &str,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let path = PathBuf::from(value.text(what, problems)?);
    if path.is_absolute() {
        return Some(path);
    }
    let shown = shown(&path.to_string_lossy()).to_string();
    value.wrong_with_help(format!("`{shown}` is not an absolute path"), help, problems);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        let millis = |text: &str| Dur::parse(text).map(|dur| dur.0.as_micros());
        assert_eq!(millis("10ms"), Some(10_000));
        assert_eq!(millis("1.5s"), Some(1_500_000));
        assert_eq!(millis("40.95s"), Some(40_950_000));
        assert_eq!(millis("2m"), Some(120_000_000));
        assert_eq!(millis("0.5h"), Some(1_800_000_000));
        for wrong in [
            "",
            "1",
            "s",
            "1 s",
            "-1s",
            ".5s",
            "1.s",
            "1..5s",
            "1d",
            "1e3s",
            "9999999999s",
        ] {
            assert_eq!(millis(wrong), None, "{wrong:?} is no duration");
        }
    }

    #[test]
    fn durations_print_as_they_are_written() {
        for text in ["10ms", "1s", "1.5s", "2m", "1h", "40.95s", "90m", "61s"] {
            let printed = Dur::parse(text).map(|dur| dur.to_string());
            assert_eq!(printed.as_deref(), Some(text));
        }
    }
}
