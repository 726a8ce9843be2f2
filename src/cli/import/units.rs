//! Numbers, times and addresses as other programs write them, and times as we do.

use std::net::IpAddr;

/// Returns milliseconds as a duration of ours.
pub fn duration(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Returns milliseconds as a duration of ours between `least` and `most`; 0, which is for ever
/// with most programs, is `most`.
pub fn bounded(ms: u64, least: u64, most: u64) -> String {
    let ms = if ms == 0 { most } else { ms };
    duration(ms.clamp(least, most))
}

/// Reads a number of seconds with a fraction, as milliseconds.
pub fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let thousandths: u64 = thousandths.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(thousandths)
}

/// Reads a number with one of `us`, `ms`, `s`, `m`, `h`, `d`, as milliseconds; without a unit it
/// is in `unit_ms`.
pub fn time(text: &str, unit_ms: u64) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let factor = match &text[end..] {
        "" => unit_ms,
        "us" => return Some(number.div_ceil(1000)),
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Returns an address with a port as we write it.
pub fn socket(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}

/// Returns the prefix length of an IPv4 netmask in dots, or of a number.
pub fn prefix_len(text: &str) -> Option<u8> {
    if let Ok(mask) = text.parse::<std::net::Ipv4Addr>() {
        let ones = mask.to_bits().leading_ones();
        return (mask.to_bits().count_ones() == ones).then_some(u8::try_from(ones).ok()?);
    }
    text.parse().ok().filter(|len| *len <= 128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, ms) in [
            ("1", Some(1000)),
            ("0.1", Some(100)),
            (".25", Some(250)),
            ("1.23456", Some(1234)),
            ("", None),
            (".", None),
            ("1x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text), ms, "{text}");
        }
        for (text, ms) in [
            ("5000", Some(5000)),
            ("5s", Some(5000)),
            ("1m", Some(60_000)),
            ("1500us", Some(2)),
            ("1w", None),
            ("s", None),
        ] {
            assert_eq!(time(text, 1), ms, "{text}");
        }
        assert_eq!(
            [0, 10, 1500, 2000, 90_000, 120_000, 7_200_000].map(duration),
            ["0s", "10ms", "1500ms", "2s", "90s", "2m", "2h"]
        );
        assert_eq!(bounded(0, 1, 5000), "5s");
        assert_eq!(prefix_len("255.255.255.0"), Some(24));
        assert_eq!(prefix_len("255.0.255.0"), None);
    }
}
