//! The date of an answer, as RFC 9110 §5.6.7 writes it.
//!
//! Pure: it is told the seconds since 1970. The worker keeps the text for a second.

use crate::model::date_of_day;

/// A date's length in bytes.
pub const DATE_BYTES: usize = 29;

/// Returns `Sun, 06 Nov 1994 08:49:37 GMT` for so many seconds after 1970 began.
pub fn http_date(seconds: u64) -> [u8; DATE_BYTES] {
    let days = seconds / 86_400;
    let rest = seconds % 86_400;
    let (year, month, day) = date_of_day(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let weekday = usize::try_from((days + 4) % 7).unwrap_or(0) * 3;
    text[..3].copy_from_slice(&b"SunMonTueWedThuFriSat"[weekday..weekday + 3]);
    let month = usize::try_from(month - 1).unwrap_or(0) * 3;
    text[8..11].copy_from_slice(&b"JanFebMarAprMayJunJulAugSepOctNovDec"[month..month + 3]);
    let mut two = |at: usize, number: u64| {
        for (at, digit) in [(at, number / 10 % 10), (at + 1, number % 10)] {
            // A digit fits a byte.
            text[at] = b'0' + u8::try_from(digit).unwrap_or(0);
        }
    };
    two(5, day);
    two(12, year / 100);
    two(14, year % 100);
    two(17, rest / 3600);
    two(20, rest / 60 % 60);
    two(23, rest % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §5.6.7.
    #[test]
    fn dates_follow_the_table() {
        for (seconds, hoped) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&http_date(seconds)), Ok(hoped));
        }
    }
}
