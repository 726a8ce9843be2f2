//! The checks of a real_server, as a `health_check` of a pool that carries TCP.

use super::statements::Statement;
use crate::cli::import::remarks::Remarks;
use crate::cli::import::units::{bounded, seconds};
use crate::cli::import::yaml::{Map, Yaml};

/// Whether a block is a check.
pub fn is_check(keyword: &str) -> bool {
    CHECKS.contains(&keyword)
}

/// Returns the check of a real_server, without the interval of its virtual_server.
pub fn probe(block: &Statement, remarks: &mut Remarks) -> Map {
    let mut check = Map::default();
    let kind = match block.keyword() {
        "HTTP_GET" => "http",
        "SMTP_CHECK" => {
            check.set("tcp", Yaml::one("receive", Yaml::text("220")));
            ""
        }
        "TCP_CHECK" => "tcp",
        other => {
            let why = format!("there is no {other} here: probes only connect");
            remarks.lost(&block.line, why);
            "tcp"
        }
    };
    if !kind.is_empty() {
        check.set(kind, Yaml::Map(Map::default()));
    }
    for statement in block.inside() {
        let (line, value) = (&statement.line, statement.word(1));
        match statement.keyword() {
            "url" if kind == "http" => url(statement, &mut check, remarks),
            "url" => {}
            "virtualhost" if kind == "http" => {
                check.map("http").set("host", Yaml::text(value));
            }
            "connect_port" => match value.parse::<u16>() {
                Ok(port) => check.set("port", Yaml::word(port)),
                Err(_) => remarks.lost(line, "this is no port"),
            },
            "connect_timeout" => match seconds(value) {
                Some(ms) => check.set("timeout", Yaml::text(bounded(ms, 1, 3_600_000))),
                None => remarks.lost(line, "this is no time"),
            },
            "retry" | "nb_get_retry" => match value.parse::<u64>() {
                Ok(retries) => {
                    let fall = retries.saturating_add(1).clamp(1, 100);
                    check.set("fall", Yaml::word(fall));
                }
                Err(_) => remarks.lost(line, "this is no number"),
            },
            "delay_before_retry" => match seconds(value) {
                Some(ms) => {
                    check.set("interval_changing", Yaml::text(bounded(ms, 10, 3_600_000)));
                }
                None => remarks.lost(line, "this is no time"),
            },
            "warmup" | "alpha" | "log_all_failures" | "delay_loop" | "host" | "misc_path"
            | "misc_timeout" | "misc_dynamic" | "helo_name" | "connect_ip" | "bindto"
            | "bind_port" | "bind_if" | "user" | "fast_recovery" | "http_protocol" => {
                remarks.otherwise(line, "probes have no such setting here");
            }
            "" => {}
            other => {
                let why = format!("{other} is no word of this check for keepalived 2.2 either");
                remarks.no_effect(line, why);
            }
        }
    }
    check
}

fn url(block: &Statement, check: &mut Map, remarks: &mut Remarks) {
    let mut status = None;
    for statement in block.inside() {
        let (line, value) = (&statement.line, statement.word(1));
        match statement.keyword() {
            "path" => {
                let http = check.map("http");
                if http.get("path").is_some() {
                    remarks.lost(line, "a probe asks for one path here, the first");
                } else {
                    http.set("path", Yaml::text(value));
                }
            }
            "status_code" => status = Some(value.to_owned()),
            "virtualhost" => check.map("http").set("host", Yaml::text(value)),
            "digest" => {
                let why = "there are no digests here: `body` says what must be in an answer";
                remarks.lost(line, why);
            }
            _ => remarks.lost(line, "`body` says what must be in an answer here"),
        }
    }
    // keepalived takes 200 unless it is told otherwise.
    let status = status.filter(|status| status.contains('-') || status.parse::<u16>().is_ok());
    let expect = match status {
        Some(range) if range.contains('-') => Yaml::text(range),
        Some(number) => Yaml::word(number),
        None => Yaml::text("200-299"),
    };
    check.map("http").set("expect", expect);
}

const CHECKS: [&str; 11] = [
    "HTTP_GET",
    "SSL_GET",
    "TCP_CHECK",
    "SMTP_CHECK",
    "MISC_CHECK",
    "DNS_CHECK",
    "PING_CHECK",
    "UDP_CHECK",
    "FILE_CHECK",
    "BFD_CHECK",
    "track_file",
];
