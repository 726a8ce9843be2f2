//! What changes of listeners, of the proxy as a whole and of the access log.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::routes;
use super::words::{Step, Words, by_name};
use crate::config::{
    AccessLogConfig, AdminConfig, ErrorPages, ForwardingConfig, GroupConfig, Http2Config,
    ListenerConfig, ListenerLimits, ListenerMode, ListenerTimeouts, MaintenanceConfig, PageConfig,
    ProxyConfig,
};
use crate::model::Network;

/// Compares the listeners.
pub(super) fn listeners(old: &[ListenerConfig], new: &[ListenerConfig]) -> Vec<Step> {
    let mut steps = by_name(old, new, |one| &one.name, "listener", listener);
    // What becomes of its connections is worth a word.
    for step in &mut steps {
        let is_listener = old
            .iter()
            .any(|one| step.subject == format!("listener {}", one.name));
        if is_listener && step.change == "removed" {
            "closed".clone_into(&mut step.change);
        }
    }
    steps
}

fn listener(old: &ListenerConfig, new: &ListenerConfig, words: &mut Words) {
    let ListenerConfig {
        name: _,
        virtual_router,
        binds,
        mode,
        routes: _,
        https_redirect,
        pool,
        request_fields,
        response_fields,
        timeouts,
        limits,
        forwarding,
        access_log,
        upgrades,
        trace,
        error_pages,
        maintenance,
        tls,
        http2,
        proxy_protocol,
    } = old;
    words.optional(
        "virtual router",
        "none",
        virtual_router.as_ref(),
        new.virtual_router.as_ref(),
    );
    words.list("address", binds, &new.binds, ToString::to_string);
    words.value("mode", mode, &new.mode);
    routes::routes(old, new, words);
    routes::https_redirect(*https_redirect, new.https_redirect, words);
    words.optional("pool", "none", pool.as_ref(), new.pool.as_ref());
    words.other("request_headers", request_fields, &new.request_fields);
    words.other("response_headers", response_fields, &new.response_fields);
    self::timeouts(timeouts, &new.timeouts, words);
    self::limits(limits, &new.limits, words);
    self::forwarding(forwarding, &new.forwarding, words);
    words.switch("access_log", access_log, &new.access_log);
    words.other("upgrade", upgrades, &new.upgrades);
    words.switch("trace", trace, &new.trace);
    self::error_pages(error_pages, &new.error_pages, words);
    self::maintenance(maintenance, &new.maintenance, words);
    super::tls::listener(tls.as_ref(), new.tls.as_ref(), words);
    self::http2(http2, &new.http2, words);
    let now = &new.proxy_protocol;
    words.list("proxy_protocol", proxy_protocol, now, network);
}

fn http2(old: &Http2Config, new: &Http2Config, words: &mut Words) {
    let Http2Config {
        offered,
        prior_knowledge,
        streams,
        memory_bytes,
    } = old;
    words.switch("http2", offered, &new.offered);
    words.switch(
        "http2 prior_knowledge",
        prior_knowledge,
        &new.prior_knowledge,
    );
    words.value("http2 streams", streams, &new.streams);
    words.value("http2 memory_bytes", memory_bytes, &new.memory_bytes);
}

fn error_pages(ErrorPages(old): &ErrorPages, ErrorPages(new): &ErrorPages, words: &mut Words) {
    let all: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for statuses in all {
        let what = format!("error page {statuses}");
        page(&what, old.get(statuses), new.get(statuses), words);
    }
}

/// The text of a page is too long to be shown.
fn page(what: &str, old: Option<&PageConfig>, new: Option<&PageConfig>, words: &mut Words) {
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => words.say(format!("{what} added")),
        (Some(_), None) => words.say(format!("{what} removed")),
        (Some(PageConfig { path, text }), Some(new)) => {
            let shown = |path: &PathBuf| path.display().to_string();
            words.value(what, &shown(path), &shown(&new.path));
            if *path == new.path {
                words.other(what, text, &new.text);
            }
        }
    }
}

fn maintenance(old: &MaintenanceConfig, new: &MaintenanceConfig, words: &mut Words) {
    let MaintenanceConfig {
        page,
        allow,
        retry_after,
        mode,
    } = old;
    match (mode, new.mode) {
        (ListenerMode::Serving, ListenerMode::Maintenance) => words.say("maintenance begins"),
        (ListenerMode::Maintenance, ListenerMode::Serving) => words.say("maintenance ends"),
        (ListenerMode::Serving, ListenerMode::Serving)
        | (ListenerMode::Maintenance, ListenerMode::Maintenance) => {}
    }
    self::page("maintenance page", page.as_ref(), new.page.as_ref(), words);
    words.list("client allowed in maintenance", allow, &new.allow, network);
    words.duration("maintenance retry_after", *retry_after, new.retry_after);
}

fn timeouts(old: &ListenerTimeouts, new: &ListenerTimeouts, words: &mut Words) {
    let ListenerTimeouts {
        handshake,
        request_head,
        keep_alive,
        request_body,
        idle,
        tunnel,
        client_fin,
        linger,
    } = *old;
    words.duration("timeout handshake", handshake, new.handshake);
    words.duration("timeout request_head", request_head, new.request_head);
    words.duration("timeout keep_alive", keep_alive, new.keep_alive);
    words.duration("timeout request_body", request_body, new.request_body);
    words.duration("timeout idle", idle, new.idle);
    words.duration("timeout tunnel", tunnel, new.tunnel);
    words.duration("timeout client_fin", client_fin, new.client_fin);
    words.duration("timeout linger", linger, new.linger);
}

fn limits(old: &ListenerLimits, new: &ListenerLimits, words: &mut Words) {
    let ListenerLimits {
        head_bytes,
        fields,
        target_bytes,
        body_bytes,
        body_rate,
        connections,
        connections_per_client,
        connection_rate_per_client,
        rates,
    } = old;
    words.value("limit head", head_bytes, &new.head_bytes);
    words.value("limit fields", fields, &new.fields);
    words.value("limit target", target_bytes, &new.target_bytes);
    let any = "any";
    words.optional(
        "limit body",
        any,
        body_bytes.as_ref(),
        new.body_bytes.as_ref(),
    );
    words.value("limit body_rate", body_rate, &new.body_rate);
    let (before, after) = (connections.as_ref(), new.connections.as_ref());
    words.optional("limit connections", any, before, after);
    let (before, after) = (
        connections_per_client.as_ref(),
        new.connections_per_client.as_ref(),
    );
    words.optional("limit connections_per_client", any, before, after);
    let (before, after) = (
        connection_rate_per_client.as_ref(),
        new.connection_rate_per_client.as_ref(),
    );
    words.optional("limit connection_rate_per_client", any, before, after);
    super::rates::rates(rates, &new.rates, any, words);
}

fn forwarding(old: &ForwardingConfig, new: &ForwardingConfig, words: &mut Words) {
    let ForwardingConfig {
        trusted_proxies,
        proxy_fields,
        forwarded,
        via,
        request_id,
    } = old;
    words.list(
        "trusted proxy",
        trusted_proxies,
        &new.trusted_proxies,
        network,
    );
    words.list("proxy field", proxy_fields, &new.proxy_fields, Clone::clone);
    words.switch("forwarded", forwarded, &new.forwarded);
    words.switch("via", via, &new.via);
    words.switch("request_id", request_id, &new.request_id);
}

fn network(network: &Network) -> String {
    format!("{}/{}", network.address, network.prefix_len)
}

/// Compares what is said of the proxy as a whole.
pub(super) fn proxy(old: &ProxyConfig, new: &ProxyConfig) -> impl Iterator<Item = Step> {
    let ProxyConfig {
        threads,
        drain,
        connections,
        connection_bytes,
    } = old;
    let mut words = Words::new();
    words.optional(
        "threads",
        "one a core",
        threads.as_ref(),
        new.threads.as_ref(),
    );
    words.duration("timeout drain", *drain, new.drain);
    words.value("limit connections", connections, &new.connections);
    words.value(
        "limit connection_buffer",
        connection_bytes,
        &new.connection_bytes,
    );
    words.into_steps("proxy")
}

/// Compares what the nodes share.
pub(super) fn group(old: &GroupConfig, new: &GroupConfig) -> impl Iterator<Item = Step> {
    let GroupConfig { secret } = old;
    let mut words = Words::new();
    super::tls::secrets(secret, &new.secret, &mut words);
    words.into_steps("group")
}

/// Compares what is said of the access log.
pub(super) fn access_log(
    old: Option<&AccessLogConfig>,
    new: Option<&AccessLogConfig>,
) -> impl Iterator<Item = Step> {
    section("access log", old, new, |old, new, words| {
        let AccessLogConfig { to, format } = old;
        words.value("to", to, &new.to);
        words.other("format", format, &new.format);
    })
}

/// Compares what is said of the listener for operators.
pub(super) fn admin(
    old: Option<&AdminConfig>,
    new: Option<&AdminConfig>,
) -> impl Iterator<Item = Step> {
    section("admin", old, new, |old, new, words| {
        let AdminConfig {
            listen,
            token,
            hosts,
        } = old;
        words.list("listen", listen, &new.listen, ToString::to_string);
        words.other("token", token, &new.token);
        words.list("host", hosts, &new.hosts, String::clone);
    })
}

/// Compares a section that may be missing.
fn section<T>(
    subject: &str,
    old: Option<&T>,
    new: Option<&T>,
    compare: impl FnOnce(&T, &T, &mut Words),
) -> impl Iterator<Item = Step> {
    let mut words = Words::new();
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => words.say("added"),
        (Some(_), None) => words.say("removed"),
        (Some(old), Some(new)) => compare(old, new, &mut words),
    }
    words.into_steps(subject)
}
