//! Numbers and addresses in plain digits, without the machinery of formatting: there are a dozen in every line.

use std::net::IpAddr;

/// Appends a decimal number.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
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
pub(super) fn write_digits(out: &mut Vec<u8>, number: u64, count: u32) {
    for place in (0..count).rev() {
        out.push(digit(number / 10_u64.pow(place)));
    }
}

/// Appends an address; an IPv4 address inside an IPv6 one is shown as what it is.
pub(super) fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(four) => {
            for (index, octet) in four.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                write_number(out, u64::from(octet));
            }
        }
        IpAddr::V6(six) => {
            use std::io::Write as _;
            // Writing to a vector cannot fail.
            let _ = write!(out, "{six}");
        }
    }
}

/// The last digit of a number.
fn digit(number: u64) -> u8 {
    // It fits a byte.
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_their_digits() {
        let mut out = Vec::new();
        for number in [0, 9, 10, 1234, u64::MAX] {
            write_number(&mut out, number);
            out.push(b' ');
        }
        write_digits(&mut out, 7, 3);
        write_digits(&mut out, 12_345, 2);
        assert_eq!(out, b"0 9 10 1234 18446744073709551615 00745");
    }
}
