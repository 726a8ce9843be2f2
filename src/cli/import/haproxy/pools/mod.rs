//! A backend, or the half of a listen that has servers, as a pool.

pub mod checks;
pub mod servers;

use super::globals::Globals;
use super::sections::Section;
use crate::cli::import::remarks::Remarks;
use crate::cli::import::units::{bounded, duration, time};
use crate::cli::import::yaml::{Map, Yaml};
use servers::Server;

/// Returns the pool of a section; `None`: it has no server that could be a backend. `port` is that
/// of servers that name none.
pub fn pool(
    section: &Section,
    port: Option<u16>,
    globals: &Globals,
    remarks: &mut Remarks,
) -> Option<Map> {
    let mut servers = servers::read(section, port, remarks);
    let mut pool = Map::default();
    let first = servers.first()?.clone();
    let first_tls = tls(&first, globals, remarks);
    let same_wire = |server: &Server, remarks: &mut Remarks| {
        let same = tls(server, globals, remarks) == first_tls
            && proxy_protocol(server) == proxy_protocol(&first);
        if !same {
            let why = "left out: the backends of a pool are spoken to in one way, with TLS and the \
                       PROXY protocol or without, and this one is not as the first";
            remarks.lost(&server.line, why);
        }
        same
    };
    servers.retain(|server| same_wire(server, remarks));
    for server in &servers {
        let backend = server.yaml(remarks);
        pool.map("backends").set(server.name.as_str(), backend);
    }
    balance(section, &mut pool, remarks);
    if let Some(tls) = first_tls {
        pool.set("tls", tls);
    }
    protocol(section, &first, &mut pool);
    if let Some(version) = proxy_protocol(&first) {
        pool.set("proxy_protocol", Yaml::word(version));
    }
    cookie(section, &servers, &mut pool, remarks);
    if let Some(check) = checks::check(section, &servers, remarks) {
        pool.set("health_check", check);
    }
    timeouts(section, &mut pool);
    let reuse = section.find(&["http-reuse"]).map(|line| line.word(1));
    match reuse.filter(|_| section.is_http()) {
        Some("never") => pool.set("keep_alive", Yaml::one("reuse", Yaml::word("never"))),
        Some("always" | "aggressive") => {
            pool.set("keep_alive", Yaml::one("reuse", Yaml::word("always")));
        }
        Some(_) | None => {}
    }
    if let Some(ms) = first.get("slowstart").and_then(|text| time(text, 1)) {
        pool.set("slow_start", Yaml::text(duration(ms.min(3_600_000))));
    }
    let observed = servers
        .iter()
        .find(|server| server.get("observe") == Some("layer7"));
    if let Some(server) = observed {
        let limit = server
            .get("error-limit")
            .and_then(|n| n.parse::<u64>().ok());
        let limit = Yaml::word(limit.unwrap_or(10).clamp(1, 1000));
        pool.set("ejection", Yaml::one("consecutive_failures", limit));
    }
    if section.is_http() && section.find(&["option", "http-buffer-request"]).is_some() {
        pool.set("buffer_requests", Yaml::word(true));
    }
    if servers.iter().filter(|server| server.has("backup")).count() > 1
        && section.find(&["option", "allbackups"]).is_none()
    {
        let why = "all backups are used together here, not the first alone";
        for server in servers.iter().filter(|server| server.has("backup")).skip(1) {
            remarks.otherwise(&server.line, why);
        }
    }
    Some(pool)
}

fn proxy_protocol(server: &Server) -> Option<&'static str> {
    let v2 = ["send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn"];
    if v2.iter().any(|word| server.has(word)) {
        Some("v2")
    } else {
        server.has("send-proxy").then_some("v1")
    }
}

fn tls(server: &Server, globals: &Globals, remarks: &mut Remarks) -> Option<Yaml> {
    if !server.has("ssl") {
        return None;
    }
    let mut tls = Map::default();
    let verify = server.get("verify").or(globals.server_verify.as_deref());
    if verify == Some("none") {
        tls.set("verify", Yaml::word(false));
    } else if let Some(ca) = server.get("ca-file").filter(|ca| *ca != "@system-ca") {
        tls.set("ca", Yaml::text(globals.ca_path(ca)));
    }
    let name = server.get("verifyhost").map(str::to_owned).or_else(|| {
        let sni = server.get("sni")?;
        let fixed = sni
            .strip_prefix("str(")
            .and_then(|rest| rest.strip_suffix(')'));
        if fixed.is_none() {
            let why = "the name that is asked for is one for the pool: see `server_name`";
            remarks.lost(&server.line, why);
        }
        fixed.map(str::to_owned)
    });
    if let Some(name) = name {
        tls.set("server_name", Yaml::text(name));
    }
    if let Some(crt) = server.get("crt") {
        let path = Yaml::text(globals.crt_path(crt));
        let pair = Map::default()
            .with("certificate", path.clone())
            .with("key", path);
        tls.set("certificate", Yaml::Map(pair));
    }
    if server.get("ssl-min-ver") == Some("TLSv1.3") {
        tls.set("minimum_version", Yaml::text("1.3"));
    }
    Some(if tls.is_empty() {
        Yaml::word(true)
    } else {
        Yaml::Map(tls)
    })
}

fn protocol(section: &Section, first: &Server, pool: &mut Map) {
    if !section.is_http() {
        return;
    }
    let h2_first = first.get("alpn").is_some_and(|list| list.starts_with("h2"));
    if first.has("ssl") && h2_first && first.get("alpn") == Some("h2") {
        pool.set("protocol", Yaml::word("h2"));
    } else if first.get("proto") == Some("h2") {
        let word = if first.has("ssl") { "h2" } else { "h2c" };
        pool.set("protocol", Yaml::word(word));
    }
}

fn balance(section: &Section, pool: &mut Map, remarks: &mut Remarks) {
    let hash = |on: Yaml| Yaml::one("hash", on);
    let by_address = || hash(Yaml::word("source_address"));
    let http = section.is_http();
    let line = section.find(&["balance"]);
    let algorithm = line.map_or("roundrobin", |line| line.word(1));
    let (name, argument) = algorithm.split_once('(').unwrap_or((algorithm, ""));
    let argument = argument.trim_end_matches(')');
    let value = match name {
        "roundrobin" | "static-rr" => Some(Yaml::word("round_robin")),
        "leastconn" => Some(Yaml::word("least_connections")),
        "random" => None,
        "source" => Some(by_address()),
        "uri" if http => Some(hash(Yaml::word("path"))),
        "hdr" if http => Some(hash(Yaml::one("header", Yaml::text(argument)))),
        _ => {
            if let Some(line) = line {
                remarks.lost(
                    line,
                    "balanced as `random_of_two`: there is nothing like it here",
                );
            }
            None
        }
    };
    if let Some(value) = value {
        pool.set("balance", value);
    }
    for line in section
        .all("stick")
        .into_iter()
        .chain(section.all("appsession"))
    {
        if line.word(0) == "stick" && !["on", "match"].contains(&line.word(1)) {
            remarks.otherwise(
                line,
                "nothing is remembered of sessions: a hash finds their backend",
            );
            continue;
        }
        let key = line.word(if line.word(0) == "stick" { 2 } else { 1 });
        let cookie = ["req.cook(", "cookie(", "cook("]
            .iter()
            .find_map(|begin| key.strip_prefix(begin))
            .map(|rest| rest.trim_end_matches(')'))
            .or_else(|| (line.word(0) == "appsession").then_some(key));
        match (key, cookie) {
            ("src", _) => pool.set("balance", by_address()),
            (_, Some(name)) if http => {
                pool.set("balance", hash(Yaml::one("cookie", Yaml::text(name))));
            }
            (_, _) => {
                remarks.lost(line, "sessions are told by address or by cookie here");
                continue;
            }
        }
        let why = "a hash finds the backend of a session, on any node, and nothing is remembered";
        remarks.otherwise(line, why);
    }
}

fn cookie(section: &Section, servers: &[Server], pool: &mut Map, remarks: &mut Remarks) {
    let Some(line) = section.find(&["cookie"]) else {
        return;
    };
    if !section.is_http() {
        remarks.no_effect(line, "cookies are for requests");
        return;
    }
    let has = |word: &str| line.from(2).iter().any(|other| other == word);
    let after = |word: &str| {
        let at = line.from(2).iter().position(|other| other == word)?;
        Some(line.word(at + 3))
    };
    if !has("dynamic") && servers.iter().all(|server| server.get("cookie").is_none()) {
        remarks.no_effect(line, "no server has a `cookie`");
        return;
    }
    let name = line.word(1);
    if !has("insert") {
        let by_cookie = Yaml::one("hash", Yaml::one("cookie", Yaml::text(name)));
        pool.set("balance", by_cookie);
        let why = "the cookie is the application's: its backend is found by a hash of its value";
        remarks.otherwise(line, why);
        return;
    }
    let mut cookie = Map::default().with("name", Yaml::text(name));
    if has("secure") {
        cookie.set("secure", Yaml::word(true));
    }
    if !has("httponly") {
        cookie.set("http_only", Yaml::word(false));
    }
    if let Some(ms) = after("maxlife").and_then(|text| time(text, 1000)) {
        let ms = (ms / 1000).clamp(1, 9600 * 3600) * 1000;
        cookie.set("lifetime", Yaml::text(duration(ms)));
    }
    match after("attr").map(str::to_ascii_lowercase).as_deref() {
        Some("samesite=strict") => cookie.set("same_site", Yaml::word("strict")),
        Some("samesite=none") if has("secure") => cookie.set("same_site", Yaml::word("none")),
        Some(_) | None => {}
    }
    pool.set("affinity", Yaml::one("cookie", Yaml::Map(cookie)));
    for word in ["domain", "maxidle", "preserve"] {
        if has(word) {
            remarks.otherwise(line, format!("a cookie of ours has no {word}"));
        }
    }
    let why = "sessions of before lose their backend once, at the change: cookies do not name it";
    remarks.otherwise(line, why);
}

fn timeouts(section: &Section, pool: &mut Map) {
    let find = |name: &str, old: &str| {
        let new = section.find(&["timeout", name]).map(|line| line.word(2));
        let text = new.or_else(|| section.find(&[old]).map(|line| line.word(1)))?;
        time(text, 1)
    };
    let mut set = |key: &str, ms: Option<u64>, most: u64| {
        if let Some(ms) = ms {
            let text = Yaml::text(bounded(ms, 1, most));
            pool.map("timeouts").set(key, text);
        }
    };
    set("connect", find("connect", "contimeout"), 3_600_000);
    if section.is_http() {
        set("response_head", find("server", "srvtimeout"), 86_400_000);
    }
    set("queue", find("queue", "-"), 3_600_000);
    set("backend_fin", find("server-fin", "-"), 86_400_000);
}
