//! Perlbal: its reverse proxies become listeners with pools, its selectors listeners with routes.
//!
//! `commands` reads, this writes. What Perlbal serves itself (files, management, uploads) is not
//! carried over.

pub mod commands;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::draft::Draft;
use super::keepalived::Given;
use super::reading::Files;
use super::remarks::{Kind, Line, Remarks};
use super::units::bounded;
use super::yaml::{Map, Yaml};
use commands::{Commands, Pool, Service};

/// Puts a file into the draft.
pub fn import(files: &dyn Files, given: &Given, draft: &mut Draft, remarks: &mut Remarks) {
    let commands = Commands::read(files, given, remarks);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for pool in &commands.pools {
        if let Some(entry) = pool_entry(files, pool, remarks) {
            let name = draft.pools.add(&pool.name, entry);
            names.insert(pool.name.clone(), name);
        }
    }
    for service in &commands.services {
        let role = service.get("role").unwrap_or("").to_owned();
        if !service.enabled {
            let why = "it is never enabled";
            remarks.no_effect(&service.line, why);
            continue;
        }
        match role.as_str() {
            "reverse_proxy" => {
                let entry = proxy_entry(service, &names, draft, remarks);
                if let Some(entry) = listen(service, entry, remarks) {
                    draft.listeners.add(&service.name, entry);
                }
            }
            "selector" => {
                let entry = selector_entry(service, &commands, &names, draft, remarks);
                if let Some(entry) = listen(service, entry, remarks) {
                    draft.listeners.add(&service.name, entry);
                }
            }
            "management" => {
                let why = "`evenkeel status` and the other commands are the console here";
                remarks.otherwise(&service.line, why);
            }
            "upload_tracker" => remarks.otherwise(&service.line, "uploads are not tracked here"),
            "web_server" => remarks.lost(&service.line, "no files are served here"),
            _ => remarks.lost(&service.line, "there is no such role here"),
        }
    }
}

fn pool_entry(files: &dyn Files, pool: &Pool, remarks: &mut Remarks) -> Option<Map> {
    let mut entry = Map::default();
    for (node, line) in &pool.nodes {
        if node.parse::<SocketAddr>().is_err() {
            remarks.lost(line, "this is no address");
            continue;
        }
        let name = node.replace(':', "-");
        entry.map("backends").set(name, Yaml::text(node));
    }
    if let Some(path) = &pool.node_file {
        let line = Line {
            text: format!("nodefile = {path}"),
            ..pool.line.clone()
        };
        let text = files.read(path.as_ref()).unwrap_or_default();
        let has_no_port = |row: &str| {
            let row = row.split('#').next().unwrap_or("").trim();
            !row.is_empty() && !row.contains(':')
        };
        if text.lines().any(has_no_port) {
            let why = "in a `backends_file` every address has a port: write :80 behind those \
                       without";
            remarks.lost(&line, why);
        }
        entry.set("backends_file", Yaml::text(path));
        if entry.get("backends").is_some() {
            entry.remove("backends");
            let why = "Perlbal takes the nodes of the file alone";
            for (_, line) in &pool.nodes {
                remarks.no_effect(line, why);
            }
        }
    }
    if entry.is_empty() {
        remarks.lost(&pool.line, "a pool has a backend here, at least");
        return None;
    }
    Some(entry)
}

/// Adds where a service listens; `None`: nowhere.
fn listen(service: &Service, entry: Option<Map>, remarks: &mut Remarks) -> Option<Map> {
    let entry = entry?;
    let text = service.get("listen")?;
    let full = if text.contains(':') {
        text.to_owned()
    } else {
        format!("0.0.0.0:{text}")
    };
    if full.parse::<SocketAddr>().is_err() {
        let line = service.settings.iter().find(|(key, _, _)| key == "listen");
        remarks.lost(
            line.map_or(&service.line, |(_, _, line)| line),
            "this is no address",
        );
        return None;
    }
    let mut listener = Map::default().with("bind", Yaml::texts([full]));
    for (key, value) in entry.iter() {
        listener.set(key.as_str(), value.clone());
    }
    Some(listener)
}

/// Returns the listener of a reverse proxy, without where it listens.
fn proxy_entry(
    service: &Service,
    names: &BTreeMap<String, String>,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Option<Map> {
    let Some(pool) = service.get("pool").and_then(|pool| names.get(pool)) else {
        remarks.lost(&service.line, "it has no pool");
        return None;
    };
    let mut entry = Map::default().with("pool", Yaml::text(pool));
    let mut place = Map::default();
    for setting in &service.settings {
        setting_of_proxy(setting, service, &mut entry, &mut place, remarks);
    }
    headers(service, &mut entry);
    if let Some(pool) = draft.pools.get_mut(pool) {
        for (key, value) in place.iter() {
            pool.set(key.as_str(), value.clone());
        }
    }
    Some(entry)
}

fn setting_of_proxy(
    (key, value, line): &(String, String, Line),
    service: &Service,
    entry: &mut Map,
    pool: &mut Map,
    remarks: &mut Remarks,
) {
    let is_on = is_on(value);
    let time = |least| {
        let ms = value.parse::<u64>().ok()?.checked_mul(1000)?;
        Some(Yaml::text(bounded(ms, least, 3_600_000)))
    };
    match key.as_str() {
        "role" | "listen" | "pool" | "enable_ssl" => {}
        "ssl_key_file" if service.get("enable_ssl").is_some_and(self::is_on) => {}
        "persist_client_idle_timeout" | "persist_client_timeout" => {
            if let Some(time) = time(1) {
                entry.map("timeouts").set("keep_alive", time);
            }
        }
        "idle_timeout" => {
            if let Some(time) = time(1) {
                entry.map("timeouts").set("idle", time.clone());
                pool.map("timeouts").set("response_head", time);
            }
        }
        "verify_backend" if is_on => {
            let path = service.get("verify_backend_path").unwrap_or("*");
            let path = if path.starts_with('/') { path } else { "/" };
            let http = Map::default()
                .with("path", Yaml::text(path))
                .with("expect", Yaml::text("200-499"));
            pool.set("health_check", Yaml::one("http", Yaml::Map(http)));
            let why = "backends are probed by themselves, with GET, whether requests come or not";
            remarks.otherwise(line, why);
        }
        "verify_backend" | "verify_backend_path" => {}
        "buffer_uploads" if is_on => pool.set("buffer_requests", Yaml::word(true)),
        "buffer_uploads" => {}
        "max_content_length" => match value.parse::<u64>() {
            Ok(bytes) => entry
                .map("limits")
                .set("body_bytes", Yaml::word(bytes.max(1))),
            Err(_) => remarks.lost(line, "this is no number"),
        },
        "trusted_upstream_proxies" => {
            let networks = value
                .split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty());
            entry.set("trusted_proxies", Yaml::texts(networks));
        }
        "always_trusted" if is_on => {
            entry.set("trusted_proxies", Yaml::texts(["0.0.0.0/0", "::/0"]));
            let why = "anybody can say who they are, as with Perlbal: name the proxies before it";
            remarks.otherwise(line, why);
        }
        "ssl_cert_file" if service.get("enable_ssl").is_some_and(self::is_on) => {
            tls(service, line, entry, remarks);
        }
        other => {
            let (kind, why) = unused(other, is_on);
            remarks.add(kind, line, why);
        }
    }
}

fn tls(service: &Service, line: &Line, entry: &mut Map, remarks: &mut Remarks) {
    let absolute = |path: &str| {
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/etc/perlbal/{path}")
        }
    };
    let files = ["ssl_cert_file", "ssl_key_file"].map(|key| service.get(key).unwrap_or(""));
    if files.iter().any(|file| !file.starts_with('/')) {
        remarks.otherwise(line, "paths are absolute here: /etc/perlbal was put before");
    }
    let pair = Map::default()
        .with("certificate", Yaml::text(absolute(files[0])))
        .with("key", Yaml::text(absolute(files[1])));
    entry.set("tls", Yaml::one("certificates", Yaml::Map(pair)));
}

/// Returns the listener of a selector, without where it listens.
fn selector_entry(
    service: &Service,
    commands: &Commands,
    names: &BTreeMap<String, String>,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Option<Map> {
    let mut entry = Map::default();
    let mut hosts: Vec<&(String, String, Line)> = service.hosts.iter().collect();
    // Perlbal looks for the name itself, then for the longest `*.`, then for `*`.
    hosts.sort_by_key(|(host, _, _)| {
        let is_wild = host.starts_with('*');
        (is_wild, std::cmp::Reverse(host.len()))
    });
    let default = service.get("default_service").map(str::to_owned);
    let others = hosts
        .into_iter()
        .map(|(host, target, line)| (Some(host.clone()), target.clone(), line));
    let default = default
        .into_iter()
        .map(|target| (None, target, &service.line));
    for (host, target, line) in others.chain(default) {
        let found = commands.services.iter().rfind(|s| s.name == target);
        let is_proxy = |s: &&Service| s.get("role") == Some("reverse_proxy");
        let Some(found) = found.filter(is_proxy) else {
            let why = format!("there is no reverse proxy {target}");
            remarks.lost(line, why);
            continue;
        };
        let Some(mut route) = proxy_entry(found, names, draft, remarks) else {
            continue;
        };
        for key in ["trusted_proxies", "tls"] {
            route.remove(key);
        }
        match host.as_deref() {
            None | Some("*") if route.get("request_headers").is_none() => {
                if let Some(pool) = route.get("pool") {
                    entry.set("pool", pool.clone());
                }
            }
            host => {
                let mut named = Map::default();
                match host {
                    None | Some("*") => {}
                    // Perlbal's `*.x` has x itself as well.
                    Some(host) => match host.strip_prefix("*.") {
                        Some(bare) => named.set("host", Yaml::texts([bare, host])),
                        None => named.set("host", Yaml::text(host)),
                    },
                }
                if let Some(Yaml::Map(timeouts)) = route.remove("timeouts")
                    && let Some(idle) = timeouts.get("idle")
                {
                    named.map("timeouts").set("idle", idle.clone());
                }
                if let Some(Yaml::Map(limits)) = route.remove("limits") {
                    named.set("limits", Yaml::Map(limits));
                }
                for (key, value) in route.iter() {
                    named.set(key.as_str(), value.clone());
                }
                entry.push("routes", Yaml::Map(named));
            }
        }
    }
    let mut unused_pool = Map::default();
    for setting in &service.settings {
        let ours = ["default_service", "plugins"].contains(&setting.0.as_str());
        if !ours {
            setting_of_proxy(setting, service, &mut entry, &mut unused_pool, remarks);
        }
    }
    if entry.get("pool").is_none() && entry.get("routes").is_none() {
        remarks.lost(&service.line, "it selects nothing");
        return None;
    }
    Some(entry)
}

fn headers(service: &Service, entry: &mut Map) {
    for (field, value) in &service.headers {
        let edits = entry.map("request_headers");
        match value {
            Some(value) => {
                let value = value.replace('{', "{{").replace('}', "}}");
                edits.map("set").set(field.as_str(), Yaml::text(value));
            }
            None => edits.push("remove", Yaml::text(field)),
        }
    }
}

fn is_on(value: &str) -> bool {
    ["1", "true", "on", "yes"].contains(&value.to_ascii_lowercase().as_str())
}

/// Returns what becomes of a setting that is carried over nowhere else.
fn unused(key: &str, is_on: bool) -> (Kind, &'static str) {
    let why = match key {
        "persist_client" | "persist_backend" => "connections are kept here",
        "enable_reproxy" if !is_on => "it is off anyway",
        "enable_reproxy" => {
            return (
                Kind::Lost,
                "X-REPROXY-URL is followed where `reproxy` names the pool that has the answers; \
                 X-REPROXY-FILE is not, no files are served here",
            );
        }
        "high_priority_cookie"
        | "high_priority_cookie_contents"
        | "queue_relief_size"
        | "queue_relief_chance" => "see `priority` of a route",
        "enable_error_retries" | "error_retry_schedule" => {
            "requests that may be repeated are, where a connection fails"
        }
        "ssl_cert_file" | "ssl_key_file" if is_on => "TLS is not enabled",
        "ssl_cert_file" | "ssl_key_file" => "it is in `tls`, where that is enabled",
        "ssl_cipher_list" => "what is spoken of TLS is not configured: 1.2 and 1.3",
        "ssl_ca_path" | "ssl_verify_mode" => {
            return (Kind::Lost, "see `client_certificates` of `tls`");
        }
        "backend_persist_cache"
        | "connect_ahead"
        | "max_backend_uses"
        | "buffer_size"
        | "buffer_size_reproxy_url"
        | "buffer_backend_connect"
        | "buffer_uploads_path"
        | "buffer_upload_threshold_size"
        | "buffer_upload_threshold_time"
        | "buffer_upload_threshold_rate"
        | "reproxy_cache_maxsize"
        | "blind_proxy"
        | "client_sndbuf_size"
        | "server_tokens"
        | "latency"
        | "max_chunked_request_size"
        | "upload_status_listeners"
        | "send_backend_port"
        | "send_backend_proto"
        | "always_trusted"
        | "balance_method" => "it is done in our own way",
        "plugins" => "vhosts are routes here, and X-Forwarded-* are sent anyway",
        _ => return (Kind::Lost, "this setting is not known to this import"),
    };
    (Kind::Otherwise, why)
}
