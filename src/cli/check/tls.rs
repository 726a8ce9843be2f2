//! The certificates of listeners, and what is to be known of them.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::status::table;
use crate::config::{Config, Resumption};
use crate::process::supervisor::certificate_notes;

/// Returns a table of certificates, and what is to be known; empty where there are none.
pub(super) fn describe(config: &Config) -> String {
    let now_s = now_s();
    let mut rows = vec![
        ["CERTIFICATE OF", "NAMES", "UNTIL", "FILE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        rows.extend(tls.found.chains.iter().map(|chain| {
            vec![
                listener.name.clone(),
                chain.names.join(" "),
                chain.until(now_s),
                chain.path.display().to_string(),
            ]
        }));
    }
    let mut notes = certificate_notes(config, now_s);
    notes.extend(what_is_lost(config));
    let mut text = match rows.len() {
        1 => String::new(),
        _ => format!("\n{}", table(&rows)),
    };
    for note in notes {
        text.push_str(&format!("\nnote: {note}\n"));
    }
    text
}

/// Returns what the nodes do not share without a secret.
fn what_is_lost(config: &Config) -> Option<String> {
    let mut listeners = config.listeners.iter().filter_map(|it| it.tls.as_ref());
    let resumes = listeners.any(|tls| tls.resumption == Resumption::Tickets);
    let alone = config.virtual_routers.is_empty();
    (resumes && !alone && config.group.secret.is_empty()).then(|| {
        "group has no `secret`: after a move clients of TLS begin their sessions anew, which costs \
         a whole handshake each"
            .to_owned()
    })
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
