//! Headers as others write them, cut anywhere, and what is none.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::SocketAddr;

use super::*;

fn client(source: &str, destination: &str) -> Carries {
    Carries::Client {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

/// A header of version 2 with addresses of IPv4 and these TLVs.
fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend_from_slice(&u16::try_from(12 + tlvs.len()).unwrap().to_be_bytes());
    header.extend_from_slice(&[192, 0, 2, 7, 192, 0, 2, 100, 0x9c, 0x40, 0x01, 0xbb]);
    header.extend_from_slice(tlvs);
    header
}

/// One TLV, the checksum, with what makes it right.
fn with_checksum() -> Vec<u8> {
    let mut header = with_tlvs(&[3, 0, 4, 0, 0, 0, 0]);
    let sum = crc32c::crc32c(&header);
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

#[test]
fn the_checksum_is_that_of_the_rfc() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn headers_are_read_wherever_they_are_cut_and_nothing_behind_them_is() {
    let v4 = client("192.0.2.7:40000", "192.0.2.100:443");
    let v6 = client("[2001:db8::7]:40000", "[2001:db8::64]:443");
    let mut wide = Vec::new();
    write_v2(
        "[2001:db8::7]:40000".parse().unwrap(),
        "[2001:db8::64]:443".parse().unwrap(),
        None,
        b"",
        &mut wide,
    );
    let whole: [(&[u8], Carries); 12] = [
        (b"PROXY TCP4 192.0.2.7 192.0.2.100 40000 443\r\n", v4),
        (b"PROXY TCP6 2001:db8::7 2001:db8::64 40000 443\r\n", v6),
        (b"PROXY UNKNOWN\r\n", Carries::Own),
        (b"PROXY UNKNOWN ffff::1 what ever 1 2\r\n", Carries::Own),
        (&with_tlvs(b""), v4),
        (&with_tlvs(&[4, 0, 2, 0, 0, 0xea, 0, 1, 9]), v4),
        (&with_checksum(), v4),
        (&wide, v6),
        (LOCAL, Carries::Own),
        // Of a local one nothing is looked at.
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x11\x00\x02ab", Carries::Own),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00", Carries::Own),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x99\x00\x03abc", Carries::Own),
    ];
    for (header, carries) in whole {
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(None), "{header:?} at {cut}");
        }
        let len = header.len();
        let more = [header, b"GET / HTTP/1.1\r\n"].concat();
        let hoped = Ok(Some(Header { len, carries }));
        assert_eq!(parse(header), hoped, "{header:?}");
        assert_eq!(parse(&more), hoped, "{header:?}");
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let mut unfit = with_checksum();
    unfit[16] ^= 1;
    let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf1".as_slice(), &[0; 5]].concat();
    let line = |words: &str| format!("PROXY {words}\r\n").into_bytes();
    let cases: Vec<(Vec<u8>, Malformed)> = vec![
        (b"GET / HTTP/1.1\r\n".to_vec(), Malformed::NoHeader),
        (b"\x16\x03\x01".to_vec(), Malformed::NoHeader),
        (b"PROXX".to_vec(), Malformed::NoHeader),
        (b"proxy ".to_vec(), Malformed::NoHeader),
        (b"\r\n\r\nG".to_vec(), Malformed::NoHeader),
        (line("TCP4 192.0.2.7 192.0.2.100 40000"), Malformed::Line),
        (
            line("TCP4 192.0.2.7 192.0.2.100 40000 443 "),
            Malformed::Line,
        ),
        (
            line("TCP4 192.0.2.7  192.0.2.100 40000 443"),
            Malformed::Line,
        ),
        (line("TCP4 2001:db8::7 2001:db8::64 1 2"), Malformed::Line),
        (line("TCP6 192.0.2.7 192.0.2.100 1 2"), Malformed::Line),
        (
            line("TCP4 192.0.2.7 192.0.2.100 65536 443"),
            Malformed::Line,
        ),
        (line("TCP4 192.0.2.7 192.0.2.100 +1 443"), Malformed::Line),
        (line("TCP4 192.0.2.7 192.0.2.100 01 443"), Malformed::Line),
        (line("TCP4 192.0.2.007 192.0.2.100 1 443"), Malformed::Line),
        (line("UDP4 192.0.2.7 192.0.2.100 1 443"), Malformed::Line),
        (line("unknown"), Malformed::Line),
        (b"PROXY UNKNOWN\n".to_vec(), Malformed::Line),
        (b"PROXY UNK\xffOWN\r\n".to_vec(), Malformed::Line),
        (
            [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat(),
            Malformed::Line,
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x11".to_vec(), Malformed::Version),
        (b"\r\n\r\n\0\r\nQUIT\n\x22".to_vec(), Malformed::Version),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b01234567890".to_vec(),
            Malformed::Length,
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x0c012345678901".to_vec(),
            Malformed::Length,
        ),
        (long, Malformed::TooLong),
        (with_tlvs(&[4, 0]), Malformed::Tlv),
        (with_tlvs(&[4, 0, 3, 0, 0]), Malformed::Tlv),
        (with_tlvs(&[3, 0, 3, 0, 0, 0]), Malformed::Tlv),
        (unfit, Malformed::Checksum),
    ];
    for (bytes, malformed) in cases {
        assert_eq!(parse(&bytes), Err(malformed), "{bytes:?}");
    }
}

#[test]
fn what_is_written_is_read() {
    let addresses = [
        "192.0.2.7:40000",
        "[2001:db8::7]:1",
        "[::ffff:192.0.2.9]:65535",
    ];
    let tls = Tls {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        server_name: Some("www.example.org"),
        common_name: Some("client one"),
    };
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    for source in addresses {
        for destination in addresses {
            let [source, destination]: [SocketAddr; 2] =
                [source, destination].map(|it| it.parse().unwrap());
            let mut headers = [Vec::new(), Vec::new(), Vec::new()];
            write_v1(source, destination, &mut headers[0]);
            write_v2(source, destination, None, b"", &mut headers[1]);
            write_v2(source, destination, Some(tls), b"id-1", &mut headers[2]);
            for header in headers {
                let read = parse(&header).unwrap().unwrap();
                assert_eq!(read.len, header.len());
                let Carries::Client {
                    source: from,
                    destination: to,
                } = read.carries
                else {
                    panic!("{header:?}");
                };
                assert_eq!(
                    (plain(from), plain(to)),
                    (plain(source), plain(destination))
                );
            }
        }
    }
    let mut header = Vec::new();
    let address = "192.0.2.7:1".parse().unwrap();
    write_v2(address, address, Some(tls), b"id-1", &mut header);
    for part in [
        "www.example.org",
        "id-1",
        "TLSv1.3",
        "client one",
        "TLS_AES_128_GCM_SHA256",
    ] {
        let windows = header.windows(part.len());
        assert_eq!(
            windows.filter(|it| *it == part.as_bytes()).count(),
            1,
            "{part}"
        );
    }
}
