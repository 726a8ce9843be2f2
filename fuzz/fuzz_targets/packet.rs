//! Any bytes in any envelope, to the codecs of both versions: no panic, and what is accepted says
//! the same when it is written again.
//!
//! The input: hop limit, a byte of choices, our interval of version 2 in seconds, then the message.
//! Since chance hardly ever finds a checksum, one choice has it set right.

#![no_main]

use std::net::IpAddr;

use evenkeel::logic::vrrp::packet::{self, Advertisement};
use evenkeel::logic::vrrp::{Authentication, ChecksumForm, Envelope, packet_v2};
use evenkeel::model::AdverInterval;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[hop_limit, choices, seconds], message)) = input.split_first_chunk::<3>() else {
        return;
    };
    let has = |bit: u8| choices & (1 << bit) != 0;
    let envelope = Envelope {
        source: address(has(0), 1),
        destination: address(has(0), 2),
        hop_limit: if has(1) { packet::HOP_LIMIT } else { hop_limit },
    };
    let mut message = message.to_vec();
    if has(2) {
        let start = if has(4) {
            pseudo_header(&envelope, message.len())
        } else {
            0
        };
        set_checksum(&mut message, start);
    }
    read_version_3(&envelope, &message);
    let interval = AdverInterval::from_centiseconds(u16::from(seconds % 40 + 1) * 100);
    let authentication = match has(3) {
        false => Authentication::None,
        true => Authentication::password("s3cret").expect("six bytes"),
    };
    read_version_2(
        &envelope,
        &message,
        interval.expect("1 s to 40 s"),
        authentication,
    );
});

fn read_version_3(envelope: &Envelope, message: &[u8]) {
    let Ok((read, form)) = packet::parse(envelope, message) else {
        return;
    };
    check(&read, message);
    assert_eq!(packet::peek_vrid(message), Some(read.vrid.get()));
    let mut written = Vec::new();
    packet::build(
        &read,
        envelope.source,
        envelope.destination,
        form,
        &mut written,
    );
    let (again, told) = packet::parse(envelope, &written).expect("what is written can be read");
    assert_eq!(again, read, "the same when it is written again");
    // Once in 65,535 both forms fit, and the older is told.
    assert!(
        told == form || told == ChecksumForm::Rfc5798,
        "in the same form"
    );
    // The reserved bits are not ours to send, and a checksum of zero has two forms.
    assert_eq!(written.len(), message.len(), "as long as before");
    assert_eq!(written[..4], message[..4]);
    assert_eq!(written[8..], message[8..]);
}

fn read_version_2(
    envelope: &Envelope,
    message: &[u8],
    interval: AdverInterval,
    authentication: Authentication,
) {
    let Ok(read) = packet_v2::parse(envelope, message, interval, authentication) else {
        return;
    };
    check(&read, message);
    assert_eq!(read.interval, interval, "no other is accepted");
    let mut written = Vec::new();
    packet_v2::build(&read, authentication, &mut written);
    let again = packet_v2::parse(envelope, &written, interval, authentication);
    assert_eq!(again, Ok(read), "the same when it is written again");
    assert_eq!(written.len(), message.len(), "as long as before");
}

fn check(read: &Advertisement, message: &[u8]) {
    assert!(!read.addresses.is_empty(), "erratum 8299");
    assert_eq!(
        read.addresses.len(),
        usize::from(message[3]),
        "as many as it says"
    );
    assert_eq!(read.priority.get(), message[2]);
    assert!(read.interval >= AdverInterval::MIN, "erratum 8301");
}

/// OptionalField the checksum of the message on top of what was summed before it.
fn set_checksum(message: &mut [u8], start: u32) {
    let Some(field) = message.get_mut(6..8) else {
        return;
    };
    field.fill(0);
    let mut sum = add(start, message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = u16::try_from(sum).expect("it was folded");
    message[6..8].copy_from_slice(&(!sum).to_be_bytes());
}

/// Sums source, destination, protocol and length (RFC 8200 §8.1; the same words for IPv4).
fn pseudo_header(envelope: &Envelope, len: usize) -> u32 {
    let len = u32::try_from(len).expect("a fuzzer's input is short");
    let both = [envelope.source, envelope.destination];
    let sum = both.iter().fold(0, |sum, address| match address {
        IpAddr::V4(address) => add(sum, &address.octets()),
        IpAddr::V6(address) => add(sum, &address.octets()),
    });
    sum + u32::from(packet::PROTOCOL) + len
}

fn add(start: u32, bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words.fold(start, |sum, word| {
        sum + (u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
    })
}

fn address(six: bool, host: u8) -> IpAddr {
    match six {
        false => IpAddr::from([192, 0, 2, host]),
        true => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host)]),
    }
}
