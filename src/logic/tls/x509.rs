//! What a certificate says (RFC 5280 §4.1): read from its DER once, strictly, and not verified.
//!
//! Operators' own files and certificates of clients whose signature has been verified come here;
//! whatever the bytes are, nothing panics and nothing is copied but what is returned.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// A certificate, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Whose it is.
    pub subject: Name<'a>,
    /// Who has signed it.
    pub issuer: Name<'a>,
    /// Its number among those of its issuer.
    pub serial: &'a [u8],
    /// SubjectPublicKeyInfo, whole.
    pub public_key: &'a [u8],
    /// From then on it holds, seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// Until then.
    pub not_after: i64,
    /// The names of servers that it is for, as they stand there.
    pub dns_names: Vec<&'a str>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// What its key is called by those who are signed with it.
    pub subject_key_id: Option<&'a [u8]>,
    /// What the key is called that it is signed with.
    pub authority_key_id: Option<&'a [u8]>,
}

/// The name of a subject or issuer, in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(pub &'a [u8]);

/// Why bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum X509Error {
    /// It ends too early, or a length is wrong.
    #[error("it is cut off, or not DER")]
    Truncated,
    /// Something else stands where this should.
    #[error("{0} is missing or wrong")]
    Malformed(&'static str),
}

impl<'a> Certificate<'a> {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it is none, or something stands behind it.
    pub fn parse(der: &'a [u8]) -> Result<Self, X509Error> {
        let mut all = Reader(der);
        let mut certificate = Reader(all.expect(SEQUENCE, "the certificate")?);
        all.end("the end of the certificate")?;
        let mut tbs = Reader(certificate.expect(SEQUENCE, "the certificate's body")?);
        tbs.optional(CONTEXT_0)?;
        let serial = tbs.expect(INTEGER, "the serial number")?;
        tbs.expect(SEQUENCE, "the algorithm of the signature")?;
        let issuer = Name(tbs.expect(SEQUENCE, "the issuer")?);
        let mut validity = Reader(tbs.expect(SEQUENCE, "the validity")?);
        let not_before = validity.time("the beginning of the validity")?;
        let not_after = validity.time("the end of the validity")?;
        let subject = Name(tbs.expect(SEQUENCE, "the subject")?);
        let public_key = tbs.whole(SEQUENCE, "the public key")?;
        let mut read = Self {
            subject,
            issuer,
            serial,
            public_key,
            not_before,
            not_after,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            is_ca: false,
            subject_key_id: None,
            authority_key_id: None,
        };
        while !tbs.0.is_empty() {
            let (tag, content) = tbs.next()?;
            if tag == CONTEXT_3 {
                read.read_extensions(content)?;
            }
        }
        Ok(read)
    }

    fn read_extensions(&mut self, content: &'a [u8]) -> Result<(), X509Error> {
        let mut list = Reader(Reader(content).expect(SEQUENCE, "the extensions")?);
        while !list.0.is_empty() {
            let mut extension = Reader(list.expect(SEQUENCE, "an extension")?);
            let id = extension.expect(OBJECT_IDENTIFIER, "the name of an extension")?;
            extension.optional(BOOLEAN)?;
            let value = extension.expect(OCTET_STRING, "the value of an extension")?;
            match id {
                SUBJECT_ALT_NAME => self.read_names(value)?,
                BASIC_CONSTRAINTS => {
                    let mut value = Reader(Reader(value).expect(SEQUENCE, "basicConstraints")?);
                    self.is_ca = value.optional(BOOLEAN)?.is_some_and(|ca| ca != [0]);
                }
                SUBJECT_KEY_ID => {
                    let id = Reader(value).expect(OCTET_STRING, "subjectKeyIdentifier")?;
                    self.subject_key_id = Some(id);
                }
                AUTHORITY_KEY_ID => {
                    let value = Reader(value).expect(SEQUENCE, "authorityKeyIdentifier")?;
                    self.authority_key_id = Reader(value).optional(0x80)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// RFC 5280 §4.2.1.6.
    fn read_names(&mut self, value: &'a [u8]) -> Result<(), X509Error> {
        let wrong = X509Error::Malformed("subjectAltName");
        let mut names = Reader(Reader(value).expect(SEQUENCE, "subjectAltName")?);
        while !names.0.is_empty() {
            let (tag, content) = names.next()?;
            if tag == 0x82 {
                let name = std::str::from_utf8(content).ok().filter(|it| it.is_ascii());
                self.dns_names.push(name.ok_or(wrong)?);
            } else if tag == 0x87 {
                let v4 = <[u8; 4]>::try_from(content).map(|it| Ipv4Addr::from(it).into());
                let v6 = <[u8; 16]>::try_from(content).map(|it| Ipv6Addr::from(it).into());
                self.addresses.push(v4.or(v6).map_err(|_| wrong)?);
            }
        }
        Ok(())
    }

    /// Returns whether its issuer may be this one, by name and by the key's identifier where both
    /// say one.
    pub fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let keys = self.authority_key_id.zip(issuer.subject_key_id);
        self.issuer == issuer.subject && keys.is_none_or(|(own, of_issuer)| own == of_issuer)
    }
}

/// As RFC 4514 writes it: the last part first, what has a meaning there escaped, and every control
/// character with it.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut sets = Reader(self.0);
        while let Ok((_, set)) = sets.next() {
            let mut attributes = Reader(set);
            while let Ok((_, attribute)) = attributes.next() {
                let mut attribute = Reader(attribute);
                let (Ok((_, id)), Ok((tag, value))) = (attribute.next(), attribute.next()) else {
                    break;
                };
                parts.push((id, tag, value));
            }
        }
        for (index, (id, tag, value)) in parts.iter().rev().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match ATTRIBUTES.iter().find(|(known, _)| known == id) {
                Some((_, name)) => f.write_str(name)?,
                None => write_identifier(f, id)?,
            }
            f.write_str("=")?;
            write_value(f, *tag, value)?;
        }
        Ok(())
    }
}

/// Writes an object identifier in numbers.
fn write_identifier(f: &mut fmt::Formatter<'_>, id: &[u8]) -> fmt::Result {
    let mut number: u64 = 0;
    let mut is_first = true;
    for byte in id {
        number = number
            .saturating_mul(128)
            .saturating_add(u64::from(byte & 0x7f));
        if byte & 0x80 != 0 {
            continue;
        }
        if is_first {
            let root = (number / 40).min(2);
            write!(f, "{root}.{}", number - 40 * root)?;
        } else {
            write!(f, ".{number}")?;
        }
        (is_first, number) = (false, 0);
    }
    Ok(())
}

/// RFC 4514 §2.4. Texts that are not UTF-8 are taken for Latin-1, and BMPString for UTF-16.
fn write_value(f: &mut fmt::Formatter<'_>, tag: u8, value: &[u8]) -> fmt::Result {
    let text: String = match (tag, std::str::from_utf8(value)) {
        (BMP_STRING, _) => {
            let units = value.as_chunks::<2>().0.iter();
            char::decode_utf16(units.map(|unit| u16::from_be_bytes(*unit)))
                .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        (_, Ok(text)) => text.to_owned(),
        (_, Err(_)) => value.iter().map(|byte| char::from(*byte)).collect(),
    };
    let last = text.chars().count().saturating_sub(1);
    for (index, char) in text.chars().enumerate() {
        let at_edge = index == 0 || index == last;
        match char {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => write!(f, "\\{char}")?,
            ' ' if at_edge => f.write_str("\\ ")?,
            '#' if index == 0 => f.write_str("\\#")?,
            char if char.is_control() => {
                let mut bytes = [0; 4];
                for byte in char.encode_utf8(&mut bytes).bytes() {
                    write!(f, "\\{byte:02x}")?;
                }
            }
            char => write!(f, "{char}")?,
        }
    }
    Ok(())
}

/// Reads DER, one value after another.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the tag and the content of the next value.
    fn next(&mut self) -> Result<(u8, &'a [u8]), X509Error> {
        self.split().map(|(tag, _, content)| (tag, content))
    }

    /// Returns tag, whole and content. Tags of several bytes, lengths that are not the shortest and
    /// indefinite ones are not in certificates.
    fn split(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), X509Error> {
        let [tag, first, ..] = *self.0 else {
            return Err(X509Error::Truncated);
        };
        if tag & 0x1f == 0x1f {
            return Err(X509Error::Malformed("a tag"));
        }
        let (header, len) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => {
                let header = 2 + usize::from(first & 0x7f);
                let digits = self.0.get(2..header).ok_or(X509Error::Truncated)?;
                let len = digits
                    .iter()
                    .fold(0, |len: usize, digit| len << 8 | usize::from(*digit));
                if digits.first() == Some(&0) || len < 0x80 {
                    return Err(X509Error::Malformed("a length"));
                }
                (header, len)
            }
            _ => return Err(X509Error::Malformed("a length")),
        };
        let end = header.checked_add(len).ok_or(X509Error::Truncated)?;
        let whole = self.0.get(..end).ok_or(X509Error::Truncated)?;
        self.0 = &self.0[end..];
        Ok((tag, whole, &whole[header..]))
    }

    /// Returns the content of the next value, which has this tag.
    fn expect(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], X509Error> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(X509Error::Malformed(what)),
        }
    }

    /// Returns the next value with its header.
    fn whole(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], X509Error> {
        match self.split()? {
            (found, whole, _) if found == tag => Ok(whole),
            _ => Err(X509Error::Malformed(what)),
        }
    }

    /// Returns the content of the next value where it has this tag.
    fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, X509Error> {
        match self.0.first() {
            Some(found) if *found == tag => self.next().map(|(_, content)| Some(content)),
            Some(_) | None => Ok(None),
        }
    }

    fn end(&self, what: &'static str) -> Result<(), X509Error> {
        match self.0 {
            [] => Ok(()),
            [..] => Err(X509Error::Malformed(what)),
        }
    }

    /// RFC 5280 §4.1.2.5: in UTC, with seconds.
    fn time(&mut self, what: &'static str) -> Result<i64, X509Error> {
        let wrong = X509Error::Malformed(what);
        let (tag, text) = self.next()?;
        let digits = text.strip_suffix(b"Z").ok_or(wrong)?;
        let number = |from: usize, len: usize| {
            let digits = digits.get(from..from + len)?;
            digits.iter().try_fold(0_i64, |number, digit| {
                let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
                Some(number * 10 + i64::from(digit))
            })
        };
        let (year, from) = match (tag, digits.len()) {
            (UTC_TIME, 12) => {
                let year = number(0, 2).ok_or(wrong)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, 2)
            }
            (GENERALIZED_TIME, 14) => (number(0, 4).ok_or(wrong)?, 4),
            _ => return Err(wrong),
        };
        let mut parts = [0; 5];
        for (index, part) in parts.iter_mut().enumerate() {
            *part = number(from + 2 * index, 2).ok_or(wrong)?;
        }
        let [month, day, hour, minute, second] = parts;
        let fits = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        if !fits {
            return Err(wrong);
        }
        Ok(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
    }
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last of its year.
    let year = if month < 3 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
/// RFC 4514 §3, and the address of mail that many have.
const ATTRIBUTES: [(&[u8], &str); 10] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01],
        "UID",
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01],
        "emailAddress",
    ),
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, SanType,
        date_time_ymd,
    };

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let names = vec!["www.example.org".to_owned(), "*.example.net".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(2026, 2, 28);
        params.not_after = date_time_ymd(2061, 3, 1);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_says_what_was_asked_for() {
        let der = made(|params| {
            let address = "2001:db8::1".parse().unwrap();
            params.subject_alt_names.push(SanType::IpAddress(address));
            let name = &mut params.distinguished_name;
            name.push(DnType::CountryName, "AT");
            name.push(DnType::OrganizationName, "Ex,ample \"Inc\"");
            name.push(DnType::CommonName, " www\r\n#");
        });
        let read = Certificate::parse(&der).unwrap();
        assert_eq!(read.dns_names, ["www.example.org", "*.example.net"]);
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(read.addresses, [address]);
        assert_eq!(read.not_before, 1_772_236_800);
        assert_eq!(read.not_after, 2_876_860_800);
        assert!(!read.is_ca);
        assert_eq!(read.subject, read.issuer);
        assert_eq!(
            read.subject.to_string(),
            r#"CN=\ www\0d\0a#,O=Ex\,ample \"Inc\",C=AT"#
        );
        assert!(read.may_be_issued_by(&read));
    }

    #[test]
    fn authorities_are_known_by_their_constraints() {
        for (ca, hoped) in [
            (IsCa::Ca(BasicConstraints::Unconstrained), true),
            (IsCa::ExplicitNoCa, false),
            (IsCa::NoCa, false),
        ] {
            let der = made(|params| params.is_ca = ca);
            assert_eq!(Certificate::parse(&der).unwrap().is_ca, hoped);
        }
    }

    #[test]
    fn dates_follow_the_calendar() {
        for ((year, month, day), hoped) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 27), 20_784),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days(year, month, day), hoped, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn every_part_of_a_certificate_is_none_and_nothing_may_follow() {
        let der = made(|_| {});
        for len in 0..der.len() {
            assert!(Certificate::parse(&der[..len]).is_err(), "{len} bytes");
        }
        let longer = [&der[..], &[0]].concat();
        assert!(Certificate::parse(&longer).is_err());
    }

    #[test]
    fn unknown_attributes_are_written_in_numbers() {
        let name = [
            0x31, 0x0c, 0x30, 0x0a, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x81, 0x00, 0x0c, 0x01, b'x',
        ];
        assert_eq!(Name(&name).to_string(), "1.3.132.128=x");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
        ) {
            let _ = Certificate::parse(&bytes);
            let _ = Name(&bytes).to_string();
            let mut der = made(|_| {});
            let at = at.index(der.len());
            der[at] = value;
            if let Ok(read) = Certificate::parse(&der) {
                let _ = (read.subject.to_string(), read.issuer.to_string());
            }
        }
    }
}
