//! Numbers and addresses in plain digits, without the machinery of formatting: a request and its
//! line in the access log have dozens of them.

use std::net::IpAddr;

/// Appends a decimal number.
pub fn write_number(out: &mut Vec<u8>, number: u64) {
    if number >= 1000 {
        return write_large(out, number);
    }
    // Statuses and lengths of small bodies.
    if number >= 100 {
        out.push(digit(number / 100));
    }
    if number >= 10 {
        out.push(digit(number / 10));
    }
    out.push(digit(number));
}

fn write_large(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the last so many digits of a number.
pub fn write_digits(out: &mut Vec<u8>, number: u64, count: u32) {
    for place in (0..count).rev() {
        out.push(digit(number / 10_u64.pow(place)));
    }
}

/// Appends an address.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(four) => {
            let mut text = [b'.'; "255.255.255.255".len()];
            let mut len = 0;
            for octet in four.octets().map(u64::from) {
                // The point stands there already.
                len += usize::from(len > 0);
                if octet >= 100 {
                    text[len] = digit(octet / 100);
                    len += 1;
                }
                if octet >= 10 {
                    text[len] = digit(octet / 10);
                    len += 1;
                }
                text[len] = digit(octet);
                len += 1;
            }
            out.extend_from_slice(&text[..len]);
        }
        IpAddr::V6(six) => {
            use std::io::Write as _;
            // Writing to a vector cannot fail.
            let _ = write!(out, "{six}");
        }
    }
}

/// Returns the last digit of a number.
fn digit(number: u64) -> u8 {
    // It fits a byte.
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_their_digits() {
        let some = [1994, 12_345, u64::from(u32::MAX), u64::MAX];
        for number in (0..1100).chain(some) {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(String::from_utf8(out), Ok(number.to_string()));
        }
        let mut out = Vec::new();
        write_digits(&mut out, 7, 3);
        write_digits(&mut out, 12_345, 2);
        assert_eq!(out, b"00745");
    }

    #[test]
    fn addresses_are_written_as_they_are_printed() {
        for text in [
            "192.0.2.1",
            "0.10.100.255",
            "2001:db8::1",
            "::ffff:192.0.2.1",
        ] {
            let mut out = Vec::new();
            write_address(&mut out, text.parse().expect("an address"));
            assert_eq!(String::from_utf8(out).as_deref(), Ok(text));
        }
    }
}
