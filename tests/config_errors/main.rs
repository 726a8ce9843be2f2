//! What `evenkeel check` says about each kind of error, in full, and what it accepts.
//!
//! One test an error, a module a section of the file: the text around an error is right, so that
//! the snapshot holds that error alone. What is accepted is in `accepts`, that nothing panics in
//! `properties`.

mod accepts;
mod invariants;
mod listeners;
mod networks;
mod operators;
mod pools;
mod properties;
mod routers;
mod routes;
mod track;
mod together;
mod whole_file;

use evenkeel::config::{NodeName, parse};

/// Returns all that is printed about a text.
fn errors(text: &str) -> String {
    match parse("lb.yaml", text, NodeName::Given("lb1")) {
        Ok(config) => panic!("errors are hoped for, not {config:?}"),
        Err(errors) => errors.to_string(),
    }
}

/// Returns a file with one virtual router of these lines; `-key` leaves out a key that is needed.
fn router(lines: &str) -> String {
    let mut text = "virtual_routers:\n  web:\n".to_owned();
    for (key, value) in [
        ("interface", "eth0"),
        ("vrid", "51"),
        ("addresses", "[192.0.2.100/24]"),
    ] {
        if !lines.contains(&format!("{key}:")) && lines != format!("-{key}") {
            text.push_str(&format!("    {key}: {value}\n"));
        }
    }
    if !lines.starts_with('-') {
        text.push_str(&format!("    {lines}\n"));
    }
    text
}

/// Returns a file with one listener of these lines, beside the virtual router `web` and the pool
/// `farm`.
fn listener(lines: &str) -> String {
    format!(
        "virtual_routers:\n  web: {{interface: eth0, vrid: 51, addresses: [192.0.2.100/24]}}\n\
         pools:\n  farm: {{backends: {{a: \"192.0.2.10:80\"}}}}\n\
         listeners:\n  http:\n    {lines}\n"
    )
}

/// Returns a file with one pool of these lines; backends are added where it is not about them.
fn pool(lines: &str) -> String {
    let backends = if lines.contains("backends") || lines == "balance: round_robin" {
        ""
    } else {
        "    backends: {a: \"192.0.2.10:80\"}\n"
    };
    format!(
        "listeners:\n  http: {{bind: [\"192.0.2.1:80\"], pool: farm}}\n\
         pools:\n  farm:\n{backends}    {lines}\n"
    )
}
