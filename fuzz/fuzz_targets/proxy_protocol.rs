//! Any bytes as the beginning of a connection that has to begin with a PROXY header: where they are
//! cut changes nothing, what follows neither, and what is read is read again when it is written.

#![no_main]

use evenkeel::logic::proxy_protocol::{Carries, HEADER_BYTES_MAX, parse, write_v1, write_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = parse(input);
    for cut in 0..input.len() {
        match (parse(&input[..cut]), whole) {
            (Ok(None), _) => {}
            (Ok(Some(header)), whole) => {
                assert!(header.len <= cut);
                assert_eq!(whole, Ok(Some(header)), "what follows changes nothing");
            }
            (Err(why), whole) => assert_eq!(whole, Err(why), "wrong at {cut} and right later"),
        }
    }
    let Ok(Some(header)) = whole else { return };
    assert!(header.len <= input.len() && header.len <= HEADER_BYTES_MAX);
    for cut in 0..header.len {
        assert_eq!(
            parse(&input[..cut]),
            Ok(None),
            "it is whole at its end only"
        );
    }
    let Carries::Client {
        source,
        destination,
    } = header.carries
    else {
        return;
    };
    let mut written = [Vec::new(), Vec::new()];
    write_v1(source, destination, &mut written[0]);
    write_v2(source, destination, None, b"id", &mut written[1]);
    for text in written {
        let read = parse(&text).expect("what is written is one");
        let read = read.expect("and whole");
        let Carries::Client {
            source: from,
            destination: to,
        } = read.carries
        else {
            panic!("{text:?} names nobody");
        };
        let plain = |it: std::net::SocketAddr| (it.ip().to_canonical(), it.port());
        assert_eq!(plain(from), plain(source));
        assert_eq!(plain(to), plain(destination));
    }
});
