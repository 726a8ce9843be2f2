//! The certificates of listeners, and what is to be known of them.

use std::time::SystemTime;

use super::super::status::section;
use crate::config::{Config, Resumption};
use crate::ipc::control::unix_s;
use crate::process::supervisor::certificate_notes;

/// Returns a table of certificates, and what is to be known; empty where there are none.
pub(super) fn describe(config: &Config) -> String {
    let now_s = unix_s(SystemTime::now());
    let listeners = config.listeners.iter();
    let with_tls = listeners.filter_map(|it| Some((it, it.tls.as_ref()?)));
    let rows = with_tls.flat_map(|(listener, tls)| {
        tls.found.chains.iter().map(move |chain| {
            [
                listener.name.clone(),
                chain.names.join(" "),
                chain.until(now_s),
                chain.path.display().to_string(),
            ]
        })
    });
    let mut rows = rows.peekable();
    let mut text = match rows.peek() {
        None => String::new(),
        Some(_) => section(["CERTIFICATE OF", "NAMES", "UNTIL", "FILE"], rows),
    };
    let mut notes = certificate_notes(config, now_s);
    notes.extend(what_is_lost(config));
    for note in notes {
        text.push_str(&format!("\nnote: {note}\n"));
    }
    text
}

/// Returns what the nodes do not share without a secret.
fn what_is_lost(config: &Config) -> Option<String> {
    let mut listeners = config.listeners.iter().filter_map(|it| it.tls.as_ref());
    let resumes = listeners.any(|tls| tls.resumption == Resumption::Tickets);
    (resumes && config.lacks_secret()).then(|| {
        "group has no `secret`: after a move clients of TLS begin their sessions anew, which costs \
         a whole handshake each"
            .to_owned()
    })
}
