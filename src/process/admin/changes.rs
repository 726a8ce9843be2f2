//! Changes by the admin listener: what operators change by command, with the token.
//!
//! The token comes in a field of the form, or as `Authorization: Bearer` (RFC 6750 §2.1): neither
//! is sent by a browser on its own, so that no page of a stranger's can have something changed.

use std::net::SocketAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use http::header;
use http::request::Parts;

use super::answer::Answer;
use crate::ipc::control::{BackendChange, MaintenanceChange, Request, Response};
use crate::model::SecretBytes;

/// A change, as somebody who may has asked for it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) request: Request,
    form: Form,
}

/// How it was asked for, and is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
}

/// Why nothing is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotHere,
    ReadOnly,
    NoToken,
    WrongToken,
    Unread(String),
}

impl Refused {
    /// Returns whether somebody may be guessing.
    pub(super) fn is_suspicious(&self) -> bool {
        matches!(self, Self::WrongToken)
    }

    pub(super) fn answer(&self) -> Answer {
        let (status, why) = match self {
            Self::NotHere => (StatusCode::NOT_FOUND, "there is nothing to change here"),
            Self::ReadOnly => (
                StatusCode::FORBIDDEN,
                "nothing is changed here: `admin: {token: {file: ...}}` allows it",
            ),
            Self::NoToken => (StatusCode::UNAUTHORIZED, "the token is missing"),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "this is not the token"),
            Self::Unread(why) => (StatusCode::BAD_REQUEST, why.as_str()),
        };
        Answer::line(status, why)
    }
}

/// Reads a change; `token` is the digest of what allows it.
pub(super) fn read(
    parts: &Parts,
    body: &[u8],
    token: Option<&SecretBytes>,
) -> Result<Change, Refused> {
    let form = match parts.uri.path() {
        "/change" => Form::Html,
        "/api/change" => Form::Json,
        _ => return Err(Refused::NotHere),
    };
    let SecretBytes(hoped) = token.ok_or(Refused::ReadOnly)?;
    let fields: Vec<(String, String)> = match form {
        Form::Html => form_urlencoded::parse(body).into_owned().collect(),
        Form::Json => Vec::new(),
    };
    let bearer = parts.headers.get(header::AUTHORIZATION);
    let bearer = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let shown = bearer.or_else(|| field(&fields, "token"));
    let shown = shown.filter(|it| !it.is_empty()).ok_or(Refused::NoToken)?;
    let shown = digest(&SHA256, shown.trim().as_bytes());
    verify_slices_are_equal(shown.as_ref(), hoped).map_err(|_| Refused::WrongToken)?;
    let request = match form {
        Form::Html => of_form(&fields).map_err(Refused::Unread)?,
        Form::Json => serde_json::from_slice(body)
            .map_err(|error| Refused::Unread(format!("not a change: {error}")))?,
    };
    match request {
        Request::Backend { .. } | Request::Router { .. } | Request::Maintenance { .. } => {
            Ok(Change { request, form })
        }
        Request::Status
        | Request::Configuration
        | Request::FollowLog
        | Request::Connections(_)
        | Request::Events { .. }
        | Request::Reload { .. } => {
            let why = "a backend, a router or a listener is changed here";
            Err(Refused::Unread(why.into()))
        }
    }
}

/// Says what has become of a change.
pub(super) fn answer(change: &Change, outcome: &Response, peer: SocketAddr) -> Answer {
    let status = match outcome {
        Response::Changed(report) => {
            let change = report.steps.join(", ");
            tracing::info!(%peer, cause = change, "changed by the admin listener");
            StatusCode::OK
        }
        Response::Refused(_) => StatusCode::CONFLICT,
        Response::Status(_)
        | Response::Configuration(_)
        | Response::OverSocket
        | Response::Events(_)
        | Response::Error(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    match (change.form, outcome) {
        (Form::Json, _) => match serde_json::to_vec(outcome) {
            Ok(text) => Answer::new(status, "application/json", text),
            Err(error) => Answer::line(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        (Form::Html, Response::Changed(_)) => Answer::back_to_page(),
        (Form::Html, Response::Refused(refusal)) => Answer::line(status, &refusal.text),
        (Form::Html, Response::Error(why)) => Answer::line(status, why),
        (
            Form::Html,
            Response::Status(_)
            | Response::Configuration(_)
            | Response::OverSocket
            | Response::Events(_),
        ) => Answer::line(status, "the daemon answers something else"),
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut fields = fields.iter();
    let found = fields.find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// Returns the change that a form of the page says: `subject` is `backend POOL NAME`, `router NAME`
/// or `listener NAME`, `change` a word.
fn of_form(fields: &[(String, String)]) -> Result<Request, String> {
    let need = |name: &str| field(fields, name).ok_or_else(|| format!("`{name}` is missing"));
    let change = need("change")?;
    let subject = need("subject")?;
    let words: Vec<&str> = subject.split(' ').collect();
    let unknown = || format!("`{subject}` cannot be changed to `{change}`");
    match words[..] {
        ["backend", pool, backend] => Ok(Request::Backend {
            pool: pool.into(),
            backend: backend.into(),
            change: match change {
                "drain" => BackendChange::Drain,
                "maintain" => BackendChange::Maintain,
                "up" => BackendChange::Up,
                "reset" => BackendChange::Reset,
                _ => return Err(unknown()),
            },
        }),
        ["router", entry] => Ok(Request::Router {
            entry: entry.into(),
            priority: match change {
                "reset" => None,
                number => Some(number.parse().map_err(|_| unknown())?),
            },
        }),
        ["listener", listener] => Ok(Request::Maintenance {
            listener: listener.into(),
            change: match change {
                "on" => MaintenanceChange::On {
                    retry_after_s: None,
                },
                "off" => MaintenanceChange::Off,
                _ => return Err(unknown()),
            },
        }),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, bearer: Option<&str>, body: &str) -> Result<Request, Refused> {
        let mut request = http::Request::builder().method("POST").uri(path);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, b"0123456789abcdef").as_ref());
        let token = SecretBytes(hash);
        read(&parts, body.as_bytes(), Some(&token)).map(|change| change.request)
    }

    #[test]
    fn a_change_needs_the_token_in_the_form_or_as_bearer() {
        let form = "subject=backend+web+b1&change=drain";
        let right = "token=0123456789abcdef";
        let drained = Request::Backend {
            pool: "web".into(),
            backend: "b1".into(),
            change: BackendChange::Drain,
        };
        let json = serde_json::to_string(&drained).expect("it is one");
        let bearer = Some("0123456789abcdef");
        assert_eq!(asked("/change", None, form), Err(Refused::NoToken));
        assert_eq!(
            asked("/change", None, &format!("{form}&token=0123456789abcdeg")),
            Err(Refused::WrongToken)
        );
        assert_eq!(
            asked("/change", Some("x"), &format!("{form}&{right}")),
            Err(Refused::WrongToken)
        );
        assert_eq!(
            asked("/change", None, &format!("{form}&{right}")),
            Ok(drained.clone())
        );
        assert_eq!(asked("/api/change", None, &json), Err(Refused::NoToken));
        assert_eq!(asked("/api/change", bearer, &json), Ok(drained));
        assert_eq!(asked("/other", bearer, &json), Err(Refused::NotHere));
        let reload = r#"{"reload":{"file":null,"dry_run":false}}"#;
        assert!(matches!(
            asked("/api/change", bearer, reload),
            Err(Refused::Unread(_))
        ));
    }

    #[test]
    fn without_a_token_nothing_is_changed() {
        let request = http::Request::post("/change").body(()).expect("a request");
        let (parts, ()) = request.into_parts();
        let refused =
            read(&parts, b"subject=router+web&change=reset&token=x", None).map(|it| it.request);
        assert_eq!(refused, Err(Refused::ReadOnly));
    }

    #[test]
    fn forms_say_what_commands_do() {
        let of = |subject: &str, change: &str| {
            of_form(&[
                ("subject".into(), subject.into()),
                ("change".into(), change.into()),
            ])
        };
        let router = |priority| Request::Router {
            entry: "web".into(),
            priority,
        };
        assert_eq!(of("router web", "reset"), Ok(router(None)));
        assert_eq!(of("router web", "90"), Ok(router(Some(90))));
        for (subject, change) in [
            ("router web", "300"),
            ("router", "90"),
            ("backend web", "drain"),
            ("backend web b1", "burn"),
            ("listener http", "maybe"),
            ("", ""),
        ] {
            assert!(of(subject, change).is_err(), "{subject} {change}");
        }
    }
}
