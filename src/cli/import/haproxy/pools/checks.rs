//! How the servers of a section are probed, as a `health_check`.

use super::servers::Server;
use crate::cli::import::haproxy::sections::Section;
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::units::{bounded, time};
use crate::cli::import::yaml::{Map, Yaml};

/// Returns the probe of a pool; what servers have their own of is the first one's.
pub fn check(section: &Section, servers: &[Server], remarks: &mut Remarks) -> Option<Yaml> {
    let checked: Vec<&Server> = servers
        .iter()
        .filter(|server| server.is_checked())
        .collect();
    let Some(first) = checked.first() else {
        for words in [["option", "httpchk"], ["option", "tcp-check"]] {
            if let Some(line) = own(section, &words) {
                remarks.no_effect(line, "no server has `check`");
            }
        }
        return Some(Yaml::word("none"));
    };
    if checked.len() < servers.len() {
        for server in servers.iter().filter(|server| !server.is_checked()) {
            let why = "it is probed as the others of its pool are";
            remarks.otherwise(&server.line, why);
        }
    }
    let mut check = Map::default();
    if section.find(&["option", "httpchk"]).is_some() {
        http(section, &mut check, remarks);
    } else if section.find(&["option", "tcp-check"]).is_some() {
        tcp(section, &mut check, remarks);
    } else {
        other(section, &mut check, remarks);
    }
    pace(section, &checked, first, &mut check, remarks);
    Some(Yaml::Map(check))
}

fn own<'s>(section: &'s Section, words: &[&str]) -> Option<&'s Line> {
    let line = section.find(words)?;
    section.own.contains(line).then_some(line)
}

/// Intervals and counts, which are settings of servers.
fn pace(
    section: &Section,
    checked: &[&Server],
    first: &Server,
    check: &mut Map,
    remarks: &mut Remarks,
) {
    for server in checked {
        let differs = |word: &&&str| has(server, word) != has(first, word);
        let words = ["inter", "fastinter", "rise", "fall", "port"];
        let words: Vec<&str> = words.iter().filter(differs).copied().collect();
        if !words.is_empty() {
            let words = words.join(", ");
            let why = format!("the backends of a pool have one {words}: that of the first");
            remarks.otherwise(&server.line, why);
        }
    }
    let ms = |word: &str| first.get(word).and_then(|text| time(text, 1));
    let interval = Yaml::text(bounded(ms("inter").unwrap_or(2000), 10, 3_600_000));
    check.set("interval", interval);
    if let Some(ms) = ms("fastinter") {
        check.set("interval_changing", Yaml::text(bounded(ms, 10, 3_600_000)));
    }
    let timeout = section.find(&["timeout", "check"]);
    if let Some(ms) = timeout.and_then(|line| time(line.word(2), 1)) {
        check.set("timeout", Yaml::text(bounded(ms, 1, 3_600_000)));
    }
    for (word, default) in [("rise", 2), ("fall", 3)] {
        let number = first.get(word).and_then(|text| text.parse::<u64>().ok());
        let number = number.unwrap_or(default).clamp(1, 100);
        if number != 2 {
            check.set(word, Yaml::word(number));
        }
    }
    if let Some(port) = first.get("port").and_then(|port| port.parse::<u16>().ok()) {
        check.set("port", Yaml::word(port));
    }
    if first.has("ssl") && first.settings.contains_key("no-check-ssl") {
        check.set("tls", Yaml::word(false));
    } else if first.has("check-ssl") && !first.has("ssl") {
        let why = "a probe speaks TLS as its pool does: without it they only connect";
        remarks.lost(&first.line, why);
        check.remove("http");
        check.set("tcp", Yaml::Map(Map::default()));
    }
}

/// Returns a setting of a server, or what it is without.
fn has(server: &Server, word: &str) -> Option<u64> {
    let default = match word {
        "inter" => Some(2000),
        "rise" => Some(2),
        "fall" => Some(3),
        _ => None,
    };
    let own = server.get(word).and_then(|text| time(text, 1));
    own.or(default)
}

fn http(section: &Section, check: &mut Map, remarks: &mut Remarks) {
    check.set("http", Yaml::Map(Map::default()));
    let http = check.map("http");
    if let Some(line) = section.find(&["option", "httpchk"]) {
        let (method, path) = match line.from(2) {
            [] => ("OPTIONS", "/"),
            [path] => ("OPTIONS", path.as_str()),
            [method, path, ..] => (method.as_str(), path.as_str()),
        };
        let sends_later = section
            .all("http-check")
            .iter()
            .any(|line| line.word(1) == "send");
        method_and_path(method, path, line, sends_later, http, remarks);
        let version = line.from(4).join(" ");
        for field in version.split(['\r', '\n']).skip(1) {
            header(field, http);
        }
    }
    for line in section.all("http-check") {
        match line.word(1) {
            "send" => send(line, http, remarks),
            "expect" => expect(line, http, remarks),
            "connect" => {
                let rest = line.from(2);
                let port = rest.iter().position(|word| word == "port");
                let port = port.and_then(|at| rest.get(at + 1));
                let why = "a probe goes to `port`, and speaks TLS as its pool does";
                match port {
                    Some(_) => remarks.lost(line, why),
                    None => remarks.otherwise(line, why),
                }
            }
            "disable-on-404" => {
                remarks.lost(
                    line,
                    "404 is a failure here: see `evenkeel backend ... drain`",
                );
            }
            "send-state" | "comment" => remarks.otherwise(line, "probes do not say it"),
            _ => remarks.lost(line, "a probe is one question here"),
        }
    }
}

fn method_and_path(
    method: &str,
    path: &str,
    line: &Line,
    is_default: bool,
    http: &mut Map,
    remarks: &mut Remarks,
) {
    match method {
        "GET" => {}
        "HEAD" => http.set("method", Yaml::word("HEAD")),
        other => {
            if !is_default {
                let why = format!("probes ask with GET or HEAD here, not {other}");
                remarks.otherwise(line, why);
            }
        }
    }
    let path = if path.starts_with('/') { path } else { "/" };
    http.set("path", Yaml::text(path));
}

/// Sets a field of the probe, the host apart.
fn header(field: &str, http: &mut Map) {
    let Some((name, value)) = field.split_once(':') else {
        return;
    };
    let (name, value) = (name.trim(), value.trim());
    if name.eq_ignore_ascii_case("host") {
        http.set("host", Yaml::text(value));
    } else if !name.eq_ignore_ascii_case("connection") && !value.is_empty() {
        http.map("headers").set(name, Yaml::text(value));
    }
}

fn send(line: &Line, http: &mut Map, remarks: &mut Remarks) {
    let mut words = line.from(2).iter().map(String::as_str);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or("");
        match word {
            "meth" => match value {
                "GET" => {}
                "HEAD" => http.set("method", Yaml::word("HEAD")),
                other => {
                    let why = format!("probes ask with GET or HEAD here, not {other}");
                    remarks.otherwise(line, why);
                }
            },
            "uri" => http.set("path", Yaml::text(value)),
            "ver" => {}
            "hdr" => header(&format!("{value}:{}", words.next().unwrap_or("")), http),
            _ => remarks.lost(line, format!("a probe has no {word} here")),
        }
    }
}

fn expect(line: &Line, http: &mut Map, remarks: &mut Remarks) {
    let mut words = line.from(2).iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        match word {
            "min-recv" | "comment" | "ok-status" | "error-status" | "tout-status"
            | "on-success" | "on-error" | "status-code" => {
                words.next();
            }
            "status" => statuses(words.next().unwrap_or(""), line, http, remarks),
            "rstatus" => match words.next().unwrap_or("") {
                "^2" | "^2.." | "2.." | "^2[0-9][0-9]" | "2[0-9][0-9]" => {
                    http.set("expect", Yaml::text("200-299"));
                }
                "(2..|3..)" | "^[23]" | "^(2|3)" | "(2|3)[0-9][0-9]" | "[23].." | "^[23].."
                | "(2|3).." => {}
                _ => remarks.lost(line, "statuses are numbers and ranges here"),
            },
            "string" => {
                http.remove("method");
                http.set("body", Yaml::text(words.next().unwrap_or("")));
            }
            _ => {
                let why = "what is hoped for is a status, or a text in the body";
                remarks.lost(line, why);
                return;
            }
        }
    }
}

fn statuses(text: &str, line: &Line, http: &mut Map, remarks: &mut Remarks) {
    let one = |part: &str| -> Option<Yaml> {
        match part.split_once('-') {
            Some((from, to)) => {
                let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
                Some(Yaml::text(format!("{from}-{to}")))
            }
            None => Some(Yaml::word(part.parse::<u16>().ok()?)),
        }
    };
    let parts: Option<Vec<Yaml>> = text.split(',').map(one).collect();
    match parts.as_deref() {
        Some([single]) => http.set("expect", single.clone()),
        Some(several) if !several.is_empty() => {
            http.set("expect", Yaml::List(several.to_vec()));
        }
        Some(_) | None => remarks.lost(line, "statuses are numbers and ranges here"),
    }
}

fn tcp(section: &Section, check: &mut Map, remarks: &mut Remarks) {
    check.set("tcp", Yaml::Map(Map::default()));
    let lines = section.all("tcp-check");
    let sends: Vec<_> = lines.iter().filter(|line| line.word(1) == "send").collect();
    let expects = lines.iter().filter(|line| line.word(1) == "expect");
    let expects: Vec<_> = expects.collect();
    if expects.len() > 1 {
        for line in &expects[..expects.len() - 1] {
            remarks.lost(line, "a probe waits for one text here, the last");
        }
    }
    let text: String = sends.iter().map(|line| line.from(2).join(" ")).collect();
    if !text.is_empty() {
        check.map("tcp").set("send", Yaml::text(text));
    }
    if let Some(line) = expects.last() {
        if line.word(2) == "string" {
            let text = line.from(3).join(" ");
            check.map("tcp").set("receive", Yaml::text(text));
        } else {
            remarks.lost(line, "a probe waits for a text here");
        }
    }
    for line in &lines {
        match line.word(1) {
            "send" | "expect" | "comment" => {}
            "connect" if line.words.len() == 2 => {}
            "connect" => {
                let why = "a probe connects once, to `port`, and speaks TLS as its pool does";
                remarks.lost(line, why);
            }
            _ => remarks.lost(line, "a probe says one text here"),
        }
    }
}

/// Checks of one protocol.
fn other(section: &Section, check: &mut Map, remarks: &mut Remarks) {
    check.set("tcp", Yaml::Map(Map::default()));
    let tcp = check.map("tcp");
    if section.find(&["option", "redis-check"]).is_some() {
        tcp.set("send", Yaml::text("*1\r\n$4\r\nPING\r\n"));
        tcp.set("receive", Yaml::text("+PONG\r\n"));
    } else if section.find(&["option", "smtpchk"]).is_some() {
        tcp.set("receive", Yaml::text("220"));
    }
    for name in [
        "mysql-check",
        "pgsql-check",
        "ldap-check",
        "ssl-hello-chk",
        "spop-check",
    ] {
        if let Some(line) = section.find(&["option", name]) {
            remarks.lost(
                line,
                "there is no probe of this protocol: they only connect",
            );
        }
    }
    if let Some(line) = section.find(&["option", "external-check"]) {
        remarks.lost(line, "no program is run for a backend: probes only connect");
    }
}
