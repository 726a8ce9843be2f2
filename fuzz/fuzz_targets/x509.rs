//! Any bytes as a certificate: no panic, what is read lies within the bytes, and what a chain is
//! brought into has what it had before.

#![no_main]

use evenkeel::logic::tls::chain::ordered;
use evenkeel::logic::tls::x509::Certificate;
use evenkeel::model::Der;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(read) = Certificate::parse(input) {
        let subject = read.subject.to_string();
        assert!(!subject.contains('\n'), "one line: {subject:?}");
        let _ = read.issuer.to_string();
        for part in [read.subject.0, read.issuer.0, read.serial, read.public_key] {
            assert!(part.len() < input.len(), "a part of the whole");
        }
        assert!(read.dns_names.iter().all(|name| name.is_ascii()));
        // One that has issued itself, by its name and keys, comes to an end all the same.
        let _ = read.may_be_issued_by(&read);
    }
    // The same bytes as two, the second cut: both are there afterwards, or neither.
    let half = Der(input[..input.len() / 2].to_vec());
    let whole = Der(input.to_vec());
    if let Ok(chain) = ordered(vec![half.clone(), whole.clone()]) {
        assert!(chain.contains(&half) && chain.contains(&whole));
    }
    if let Ok(chain) = ordered(vec![whole.clone(), whole.clone()]) {
        assert_eq!(chain, [whole], "one that is there twice is there once");
    }
});
