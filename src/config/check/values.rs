//! Scalars of the file to checked values: durations, addresses, names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::reader::{Problems, Value};
use crate::model::VirtualAddress;

/// Reads a duration such as `10ms`, `1.5s` or `2m`.
pub fn duration(value: &Value<'_>, problems: &mut Problems) -> Option<Duration> {
    let text = value.text(problems)?;
    let parsed = parse_duration(&text);
    if parsed.is_none() {
        let message = format!("`{text}` is not a duration");
        problems.value(
            value,
            message,
            Some("write a number with its unit: 10ms, 1s, 1.5s, 2m"),
        );
    }
    parsed
}

/// Reads a duration that is longer than nothing and at most an hour.
pub fn timeout(value: &Value<'_>, problems: &mut Problems) -> Option<Duration> {
    let duration = duration(value, problems)?;
    if duration.is_zero() || duration > TIMEOUT_MAX {
        problems.value(value, "must be longer than 0s and at most 60m", None);
        return None;
    }
    Some(duration)
}

/// Returns the duration that a text means; integer arithmetic only.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits_end);
    let unit_us: u64 = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 6 {
        return None;
    }
    let whole_us = whole.parse::<u64>().ok()?.checked_mul(unit_us)?;
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<u64>().ok()?
    };
    let fraction_us = parts.checked_mul(unit_us)? / scale;
    Some(Duration::from_micros(whole_us.checked_add(fraction_us)?))
}

/// Reads `address/prefix`.
pub fn virtual_address(value: &Value<'_>, problems: &mut Problems) -> Option<VirtualAddress> {
    let text = value.text(problems)?;
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        Some((address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?))
    });
    let Some((address, prefix_len)) = parsed else {
        let message = format!("`{text}` is not an address with its prefix length");
        problems.value(
            value,
            message,
            Some("write it as 192.0.2.100/24 or 2001:db8::100/64"),
        );
        return None;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if prefix_len > longest {
        problems.value(
            value,
            format!("the prefix length must be between 0 and {longest}"),
            None,
        );
        return None;
    }
    if let Some(what) = unsuitable(address) {
        problems.value(value, format!("{address} is {what} and cannot move"), None);
        return None;
    }
    Some(VirtualAddress {
        address,
        prefix_len,
    })
}

fn unsuitable(address: IpAddr) -> Option<&'static str> {
    if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_unspecified() {
        Some("the unspecified address")
    } else if address == IpAddr::from([255; 4]) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// Reads `address:port`.
pub fn socket_address(value: &Value<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    let text = value.text(problems)?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let help =
            "write it as 192.0.2.102:80 or \"[2001:db8::2]:80\"; host names are not resolved";
        problems.value(
            value,
            format!("`{text}` is not an address with a port"),
            Some(help),
        );
        return None;
    };
    if address.port() == 0 {
        problems.value(value, "port must be between 1 and 65535", None);
        return None;
    }
    Some(address)
}

/// Checks a name that people give: letters, digits, `-`, `_`, `.`, at most 64 of them.
pub fn name(
    name: &str,
    what: &str,
    at: &Value<'_>,
    part: super::super::place::Part,
    problems: &mut Problems,
) -> bool {
    let good = !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !good {
        let help = "names have 1 to 64 letters, digits, `-`, `_` or `.`";
        problems.at(
            &at.path,
            part,
            format!("`{name}` cannot be the name of a {what}"),
            Some(help),
        );
    }
    good
}

const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_bare_numbers_are_refused() {
        for (text, micros) in [
            ("10ms", Some(10_000)),
            ("1s", Some(1_000_000)),
            ("1.5s", Some(1_500_000)),
            ("0.01s", Some(10_000)),
            ("2m", Some(120_000_000)),
            ("1", None),
            ("1.s", None),
            (".5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1sec", None),
            ("99999999999999999999s", None),
            ("", None),
        ] {
            assert_eq!(
                parse_duration(text),
                micros.map(Duration::from_micros),
                "{text}"
            );
        }
    }
}
