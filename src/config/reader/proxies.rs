//! What HAProxy and nginx call things of TLS and sessions: a key in their manner is answered with
//! ours.
//!
//! Only for the help of an error; nothing is read in their manner.

/// Returns how to say here what they say with a word.
pub(super) fn translation(word: &str) -> Option<&'static str> {
    let found = WORDS.iter().find(|(theirs, _)| theirs.contains(&word));
    found.map(|(_, ours)| *ours)
}

/// Theirs, and ours.
const WORDS: &[(&[&str], &str)] = &[
    (
        &[
            "ssl",
            "crt",
            "crt-list",
            "ssl_certificate",
            "ssl_certificate_key",
        ],
        "write `tls: {certificates: /etc/evenkeel/tls}`",
    ),
    (
        &["cert", "crt_file", "fullchain"],
        "write `certificate: FILE`: it has those that have signed it, too",
    ),
    (
        &[
            "ciphers",
            "ciphersuites",
            "ssl_ciphers",
            "ssl_dhparam",
            "curves",
        ],
        "leave it out: what is spoken is not configured",
    ),
    (
        &["ssl_protocols", "ssl-min-ver", "min_version"],
        "write `minimum_version: \"1.3\"`, or leave it out for 1.2 and 1.3",
    ),
    (
        &["strict-sni", "ssl_reject_handshake"],
        "write `default_certificate: none`",
    ),
    (
        &["ssl_client_certificate", "ssl_verify_client"],
        "write `client_certificates: {ca: FILE, required: true}`",
    ),
    (
        &["ssl_session_tickets", "no-tls-tickets"],
        "write `resumption: false`",
    ),
    (
        &["tls-ticket-keys", "ssl_session_ticket_key"],
        "write `group: {secret: {file: FILE}}`, from which keys of each hour follow",
    ),
    (
        &[
            "ca-file",
            "ca_file",
            "cafile",
            "proxy_ssl_trusted_certificate",
        ],
        "write `ca: FILE`",
    ),
    (
        &[
            "sticky",
            "appsession",
            "sticky_cookie",
            "stickiness",
            "session_cookie",
        ],
        "write `affinity: {cookie: {name: evenkeel}}` in the pool",
    ),
    (
        &["sni", "proxy_ssl_name"],
        "write `server_name: web.internal`",
    ),
    (
        &["proxy_ssl_verify", "insecure_skip_verify"],
        "backends are verified, unless `tls: {verify: false}` says otherwise",
    ),
];
