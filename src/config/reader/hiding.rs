//! A configuration as it may be shown: what is secret in it is not there.
//!
//! What is hidden follows from the key alone, so that also a text that was never checked tells
//! nothing: passwords and tokens, the values of fields such as Authorization, and what a health
//! check of TCP sends to log in. Comments are gone, because old passwords stand in comments.

use serde_yaml::Value;

use super::super::file::{self, Kind, Node};

/// Returns the configuration as YAML, without comments and secrets.
///
/// # Errors
/// What is no YAML, as a fragment for people.
pub fn without_secrets(text: &str) -> Result<String, String> {
    let (root, _) = file::read(text).map_err(|error| error.message)?;
    serde_yaml::to_string(&shown(&root)).map_err(|error| error.to_string())
}

fn shown(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(truth) => Value::Bool(*truth),
        Kind::Int(number) => match (u64::try_from(*number), i64::try_from(*number)) {
            (Ok(number), _) => number.into(),
            (Err(_), Ok(number)) => number.into(),
            (Err(_), Err(_)) => number.to_string().into(),
        },
        Kind::Float(number) => (*number).into(),
        Kind::Text(text) => text.as_str().into(),
        Kind::List(items) => Value::Sequence(items.iter().map(shown).collect()),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let value = match secrecy(&key.text, value) {
                    Secrecy::None => shown(value),
                    Secrecy::Values => hidden(value),
                };
                (Value::from(key.text.as_str()), value)
            });
            Value::Mapping(entries.collect())
        }
    }
}

/// How much of what stands behind a key is secret.
enum Secrecy {
    None,
    /// Every text of it, but not the names of files and credentials.
    Values,
}

fn secrecy(key: &str, value: &Node) -> Secrecy {
    let name = key.to_ascii_lowercase();
    let is_secret = ["password", "passwd", "token", "tokens"].contains(&name.as_str())
        || SECRET_FIELDS
            .iter()
            .any(|part| is_field(key) && name.contains(part));
    let logs_in = match &value.kind {
        Kind::Text(text) => {
            let text = text.to_ascii_lowercase();
            name == "send" && (text.contains("auth") || text.contains("pass"))
        }
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::List(_)
        | Kind::Map(_) => false,
    };
    match is_secret || logs_in {
        true => Secrecy::Values,
        false => Secrecy::None,
    }
}

/// Whether this is a field of HTTP rather than a key of ours: those have no capitals and no `-`.
fn is_field(key: &str) -> bool {
    key.chars().any(|c| c.is_ascii_uppercase() || c == '-')
        || ["authorization", "cookie"].contains(&key)
}

fn hidden(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => HIDDEN.into(),
        Kind::List(items) => Value::Sequence(items.iter().map(hidden).collect()),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let is_place = ["file", "credential"].contains(&key.text.as_str());
                let value = if is_place {
                    shown(value)
                } else {
                    hidden(value)
                };
                (Value::from(key.text.as_str()), value)
            });
            Value::Mapping(entries.collect())
        }
    }
}

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// What the names of fields with secrets have in them.
const SECRET_FIELDS: [&str; 6] = ["auth", "cookie", "token", "secret", "password", "key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_comments_are_gone_and_the_rest_is_there_in_its_order() {
        let text = "\
# password: older
virtual_routers:
  web: {vrid: 51, authentication: {password: s3cret}, priority: {lb1: 150}}
admin:
  tokens: [{token: t0ken, file: /etc/t}, abc]
pools:
  api:
    backends: {b1: \"192.0.2.1:80\"}
    health_check:
      http: {path: /, headers: {Authorization: Basic Zm9v, X-Api-Key: k3y, Accept: text/plain}}
    tls: {certificate: {certificate: /a.crt, key: /a.key}}
  redis: {health_check: {tcp: {send: \"AUTH s3cret\\r\\nPING\\r\\n\", receive: PONG}}}
group: {secret: {file: /etc/evenkeel/group.key}}
proxy: {threads: 2}
";
        let hoped = "\
virtual_routers:
  web:
    vrid: 51
    authentication:
      password: (hidden)
    priority:
      lb1: 150
admin:
  tokens:
  - token: (hidden)
    file: /etc/t
  - (hidden)
pools:
  api:
    backends:
      b1: 192.0.2.1:80
    health_check:
      http:
        path: /
        headers:
          Authorization: (hidden)
          X-Api-Key: (hidden)
          Accept: text/plain
    tls:
      certificate:
        certificate: /a.crt
        key: /a.key
  redis:
    health_check:
      tcp:
        send: (hidden)
        receive: PONG
group:
  secret:
    file: /etc/evenkeel/group.key
proxy:
  threads: 2
";
        assert_eq!(without_secrets(text), Ok(hoped.to_owned()));
    }
}
