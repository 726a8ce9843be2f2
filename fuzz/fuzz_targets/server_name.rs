//! Any text as the name that a client asks for and names of certificates, a line each: the one that
//! is found is for that name by the rule of RFC 9525 §6.3, however it is written.

#![no_main]

use evenkeel::logic::tls::server_name::{ServerNames, is_server_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Some((asked, rest)) = text.split_once('\n') else {
        return;
    };
    // Names of one certificate are on one line.
    let certificates: Vec<Vec<String>> = rest
        .split('\n')
        .map(|names| names.split(' ').map(str::to_owned).collect())
        .collect();
    let names = ServerNames::new(&certificates);
    let found = names.find(asked);
    let upper = names.find(&asked.to_ascii_uppercase());
    assert_eq!(found, upper, "the case of letters says nothing");
    if !asked.ends_with('.') {
        assert_eq!(found, names.find(&format!("{asked}.")), "nor does a dot");
    }
    let is_for = |index: usize, exact: bool| {
        let mut all = certificates[index].iter();
        all.any(|name| matches(name, asked, exact))
    };
    let first = |exact: bool| (0..certificates.len()).find(|index| is_for(*index, exact));
    let hoped = match is_server_name(asked) {
        true => first(true).or_else(|| first(false)),
        false => None,
    };
    assert_eq!(found, hoped, "{asked:?} of {certificates:?}");
});

/// The rule, written plainly: the same labels, but for a first one that is `*`.
fn matches(name: &str, asked: &str, exact: bool) -> bool {
    let (name, asked) = (folded(name), folded(asked));
    match (name.strip_prefix("*."), exact) {
        (None, true) => is_server_name(&name) && name == asked,
        (Some(rest), false) => {
            is_server_name(rest) && asked.split_once('.').is_some_and(|(_, it)| it == rest)
        }
        (None, false) | (Some(_), true) => false,
    }
}

fn folded(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
