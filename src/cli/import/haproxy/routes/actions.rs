//! `http-request`, `http-response`, `redirect`, `use_backend` and their like, as rules.

use super::acl::Known;
use super::condition::{Acls, Condition, condition};
use super::edits::Edit;
use super::format::placeholders;
use super::rules::{Action, Effect, Rule};
use crate::cli::import::remarks::{Line, Remarks};
use crate::cli::import::yaml::{Map, Yaml};

/// What a line does, before its condition.
enum What {
    /// This.
    Does(Effect),
    /// Nothing here, and nothing is lost.
    Nothing(String),
}

/// Reads a line into rules; what it cannot say is a remark.
pub fn read(line: &Line, acls: &Acls, known: &Known, remarks: &mut Remarks) -> Vec<Rule> {
    // A word that begins a condition; behind a text it may be that word as well.
    let at = line
        .words
        .iter()
        .rposition(|word| word == "if" || word == "unless");
    let (words, behind) = line.words.split_at(at.unwrap_or(line.words.len()));
    let condition = match condition(behind, acls, known) {
        Ok(condition) => condition,
        Err(why) => {
            remarks.lost(line, why);
            return Vec::new();
        }
    };
    // A rule that is never asked need not be said.
    if condition.terms.is_empty() {
        return Vec::new();
    }
    match what(words, known) {
        Ok(What::Does(effect)) => rules(line, effect, condition, remarks),
        Ok(What::Nothing(why)) => {
            remarks.otherwise(line, why);
            Vec::new()
        }
        Err(why) => {
            remarks.lost(line, why);
            Vec::new()
        }
    }
}

fn rules(line: &Line, effect: Effect, condition: Condition, remarks: &mut Remarks) -> Vec<Rule> {
    for note in condition.notes {
        remarks.otherwise(line, note);
    }
    let rule = |term| Rule {
        term,
        effect: effect.clone(),
    };
    condition.terms.into_iter().map(rule).collect()
}

fn what(words: &[String], known: &Known) -> Result<What, String> {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let rest = |from: usize| words.get(from..).unwrap_or_default();
    match word(0) {
        "use_backend" if word(1).contains('%') => {
            Err("a route names its pool: there are no maps here".to_owned())
        }
        "use_backend" => does(Effect::Ends(Action::Backend(word(1).to_owned()))),
        "redirect" => redirect(rest(1), known),
        "http-request" => match word(1) {
            "redirect" => redirect(rest(2), known),
            "deny" | "reject" | "silent-drop" | "tarpit" => deny(rest(2)),
            "return" => respond(rest(2)),
            "set-path" | "replace-path" | "replace-uri" | "set-uri" => path(word(1), rest(2)),
            "allow" => Err("a route decides: there is no way past those behind it".to_owned()),
            "auth" => Err("nobody is asked for a password here".to_owned()),
            "cache-use" | "set-log-level" | "capture" | "disable-l7-retry" | "set-nice"
            | "normalize-uri" => Ok(What::Nothing("it is done in our own way".to_owned())),
            other => field(other, rest(2), known),
        },
        "http-response" | "http-after-response" if word(1) == "cache-store" => {
            Ok(What::Nothing("answers are not cached here".to_owned()))
        }
        "http-response" | "http-after-response" => match field(word(1), rest(2), known)? {
            What::Does(Effect::Request(edit)) => does(Effect::Response(edit)),
            other @ (What::Does(_) | What::Nothing(_)) => Ok(other),
        },
        "reqadd" | "rspadd" | "reqidel" | "reqdel" | "rspidel" | "rspdel" => old(words, known),
        "tcp-request" => connection(words, known),
        other => Err(format!("{other} is not known to this import")),
    }
}

fn does(effect: Effect) -> Result<What, String> {
    Ok(What::Does(effect))
}

fn connection(words: &[String], known: &Known) -> Result<What, String> {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match (word(1), word(2)) {
        ("inspect-delay", _) => {
            let why = "a client that is to name a server has `timeouts: {handshake: ...}` for it";
            Ok(What::Nothing(why.to_owned()))
        }
        ("content", "accept") => Ok(What::Nothing(
            "routes with `sni` wait for the name by themselves".to_owned(),
        )),
        ("content" | "connection" | "session", "reject") => does(Effect::Ends(Action::Deny)),
        ("connection", "expect-proxy") => {
            Err("`proxy_protocol: {from: [...]}` of the listener says from whom".to_owned())
        }
        (_, other) if known.http => Err(format!("there is nothing like {other} here")),
        (_, other) => Err(format!("there is nothing like {other} here, with TCP")),
    }
}

fn redirect(words: &[String], known: &Known) -> Result<What, String> {
    let mut words = words.iter().map(String::as_str);
    let (mut kind, mut target, mut status, mut drop_query) = ("", "", 302, false);
    while let Some(word) = words.next() {
        match word {
            "scheme" | "prefix" | "location" => {
                kind = word;
                target = words.next().unwrap_or("");
            }
            "code" => {
                let code = words.next().and_then(|code| code.parse().ok());
                status = code
                    .filter(|code| [301, 302, 303, 307, 308].contains(code))
                    .ok_or("this is no status of a redirection")?;
            }
            "drop-query" => drop_query = true,
            "append-slash" | "ignore-empty" => {}
            "set-cookie" | "clear-cookie" => {
                return Err("a redirection sets no cookie here: see `response_headers`".to_owned());
            }
            other => return Err(format!("{other} is not known to this import")),
        }
    }
    let action = match kind {
        "scheme" if target == "https" && !known.tls => Action::Https(status),
        "scheme" => Action::Redirect {
            to: format!("{}://{{host}}{{path}}", placeholders(target)?),
            status,
            keep_query: true,
        },
        "prefix" => {
            let prefix = placeholders(target)?;
            let prefix = if prefix == "/" { "" } else { &prefix };
            Action::Redirect {
                to: format!("{prefix}{{path}}"),
                status,
                keep_query: !drop_query,
            }
        }
        "location" => {
            let to = placeholders(target)?;
            let has_own = to.contains("{query}") || to.contains('?') || to.contains('#');
            Action::Redirect {
                to,
                status,
                keep_query: has_own,
            }
        }
        _ => return Err("it says no target".to_owned()),
    };
    if let Action::Redirect { to, .. } = &action {
        let is_whole = ["http://", "https://", "{scheme}://", "/"]
            .iter()
            .any(|begin| to.starts_with(begin));
        if !is_whole {
            return Err("a URL begins with http://, https:// or / here".to_owned());
        }
    }
    does(Effect::Ends(action))
}

fn deny(words: &[String]) -> Result<What, String> {
    let at = words
        .iter()
        .position(|word| ["deny_status", "status"].contains(&word.as_str()));
    let status = at.and_then(|at| words.get(at + 1));
    let action = match status.map(|status| status.parse::<u16>()) {
        None | Some(Ok(403)) => Action::Deny,
        Some(Ok(status)) => Action::Respond(Map::default().with("status", Yaml::word(status))),
        Some(Err(_)) => return Err("this is no status".to_owned()),
    };
    does(Effect::Ends(action))
}

fn respond(words: &[String]) -> Result<What, String> {
    let mut respond = Map::default();
    let mut words = words.iter();
    let mut status = 200_u16;
    while let Some(word) = words.next() {
        let value = words.next().map_or("", String::as_str);
        match word.as_str() {
            "status" => status = value.parse().map_err(|_| "this is no status".to_owned())?,
            "content-type" => respond.set("content_type", Yaml::text(value)),
            "string" | "lf-string" if word == "string" || !value.contains('%') => {
                respond.set("body", Yaml::text(value));
            }
            "lf-string" | "file" | "lf-file" | "errorfile" => {
                return Err("an answer of the proxy's own is one text here".to_owned());
            }
            other => return Err(format!("{other} is not known to this import")),
        }
    }
    let mut ordered = Map::default().with("status", Yaml::word(status));
    for (key, value) in respond.iter() {
        ordered.set(key.as_str(), value.clone());
    }
    does(Effect::Ends(Action::Respond(ordered)))
}

/// Reads an action on a field, or says that there is none like it.
fn field(action: &str, words: &[String], known: &Known) -> Result<What, String> {
    let name = words.first().map_or("", String::as_str).to_owned();
    let lower = name.to_ascii_lowercase();
    let text = words.get(1..).unwrap_or_default().join(" ");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if action.ends_with("-header") && !name.chars().all(is_name) {
        return Err("a field's name is letters, digits and hyphens here".to_owned());
    }
    let edit = match action {
        "set-header" if lower == "host" => {
            let host = placeholders(&text)?;
            return match host.as_str() {
                "{host}" => Ok(What::Nothing("backends are sent it anyway".to_owned())),
                host if host.contains(['{', '}']) => {
                    Err("`rewrite: {host: ...}` has no placeholders".to_owned())
                }
                _ => does(Effect::Host(host)),
            };
        }
        "set-header" | "add-header" => {
            let is_ours = match lower.as_str() {
                "x-forwarded-for" => text == "%[src]",
                "x-forwarded-proto" => {
                    text == if known.tls { "https" } else { "http" } || text.starts_with("%[ssl_fc")
                }
                "x-forwarded-port" => {
                    text == "%[dst_port]"
                        || Some(&text) == known.port.map(|p| p.to_string()).as_ref()
                }
                "x-forwarded-host" => text.contains("host)"),
                _ => false,
            };
            if is_ours {
                return Ok(What::Nothing("backends are sent it anyway".to_owned()));
            }
            let text = placeholders(&text)?;
            if action == "set-header" {
                Edit::Set(name, text)
            } else {
                Edit::Add(name, text)
            }
        }
        "del-header" => {
            if words.len() > 1 {
                return Err("a field is removed by its whole name here".to_owned());
            }
            Edit::Remove(name)
        }
        "replace-header" | "replace-value" => {
            return Err("fields are not edited by expressions here".to_owned());
        }
        other => return Err(format!("there is nothing like {other} here")),
    };
    let own = [
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    if own.contains(&lower.as_str()) {
        return Ok(What::Nothing("this field is the proxy's own".to_owned()));
    }
    does(Effect::Request(edit))
}

/// Reads a rule of the old words, which have the field as a text or an expression.
fn old(words: &[String], known: &Known) -> Result<What, String> {
    let word = words.first().map_or("", String::as_str);
    let text = words.get(1).map_or("", String::as_str);
    let edit = if word.ends_with("add") {
        let (name, value) = text.split_once(':').ok_or("this is no field")?;
        let (name, value) = (name.trim(), value.trim());
        if word == "reqadd" {
            let words = [name.to_owned(), value.replace('%', "%%")];
            return field("add-header", &words, known);
        }
        Edit::Add(name.to_owned(), placeholders(&value.replace('%', "%%"))?)
    } else {
        let name = text.trim_start_matches('^').split(':').next().unwrap_or("");
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("a field is removed by its whole name here".to_owned());
        }
        Edit::Remove(name.to_owned())
    };
    does(if word.starts_with("req") {
        Effect::Request(edit)
    } else {
        Effect::Response(edit)
    })
}

/// Reads a change of the path that is one of its beginning.
fn path(action: &str, words: &[String]) -> Result<What, String> {
    let why = "only the beginning of a path is rewritten here, `rewrite: {path: ...}`".to_owned();
    let (from, to) = match (action, words) {
        ("replace-path" | "replace-uri", [pattern, target]) => {
            let from = pattern.trim_start_matches('^').trim_end_matches('$');
            let from = from.strip_suffix("(.*)").ok_or(why.clone())?;
            let to = target.strip_suffix("\\1").ok_or(why.clone())?;
            (from.to_owned(), to.to_owned())
        }
        ("set-path", [format]) => {
            let inside = format
                .strip_prefix("%[path,regsub(")
                .and_then(|rest| rest.strip_suffix(")]"))
                .ok_or(why.clone())?;
            let mut parts = inside.split(',');
            let from = parts.next().unwrap_or("").trim_start_matches('^');
            let from = from.strip_suffix('?').unwrap_or(from);
            (from.to_owned(), parts.next().unwrap_or("").to_owned())
        }
        _ => return Err(why),
    };
    let is_plain = |text: &str| {
        text.starts_with('/')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/-_~.".contains(c))
    };
    // An empty text leaves what is behind it, which begins with a slash.
    let to = if to.is_empty() { "/".to_owned() } else { to };
    if !is_plain(&from) || !is_plain(&to) {
        return Err(why);
    }
    does(Effect::Path(from, to))
}
