//! An answer that is always the same: of a route, or of a pool of which nobody is up.

use crate::config::RespondConfig;
use crate::config::reader::Value;
use crate::config::report::{Problems, shown};

/// Checks what `who` responds.
pub(crate) fn check(value: Value<'_>, who: &str, problems: &mut Problems) -> Option<RespondConfig> {
    let fields = value.fields(&["status", "body", "content_type"], problems)?;
    let status = fields
        .need("status", "200", problems)
        .and_then(|status| check_answer_status(status, who, problems));
    let body = match fields.get("body") {
        None => Some(""),
        Some(body) => check_body(body, status, problems),
    };
    let content_type = match fields.get("content_type") {
        None => Some("text/plain; charset=utf-8"),
        Some(value) => check_content_type(value, problems),
    };
    Some(RespondConfig {
        status: status?,
        body: body?.to_owned(),
        content_type: content_type?.to_owned(),
    })
}

fn check_answer_status(value: Value<'_>, who: &str, problems: &mut Problems) -> Option<u16> {
    let status = u16::try_from(value.number(200, 599, problems)?).ok()?;
    let help = match status {
        304 => "it is for clients that ask whether something has changed; write `status: 204`",
        301 | 302 | 303 | 307 | 308 => "it needs a URL: write `redirect: {to: URL, status: 301}`",
        _ => return Some(status),
    };
    value.wrong_with_help(format!("{who} cannot respond {status}"), help, problems);
    None
}

fn check_body<'a>(
    value: Value<'a>,
    status: Option<u16>,
    problems: &mut Problems,
) -> Option<&'a str> {
    let body = value.text("a text", problems)?;
    if let Some(status @ (204 | 205)) = status
        && !body.is_empty()
    {
        let message = format!("an answer of status {status} has no body");
        value.wrong_with_help(message, "leave it out, or write `status: 200`", problems);
        return None;
    }
    if body.len() > BODY_BYTES_MAX {
        let message = format!("body has more than {BODY_BYTES_MAX} bytes");
        value.wrong_with_help(message, "have a backend answer with it", problems);
        return None;
    }
    Some(body)
}

fn check_content_type<'a>(value: Value<'a>, problems: &mut Problems) -> Option<&'a str> {
    let text = value.text("a media type", problems)?;
    let is_written = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let kind = text.split(';').next().unwrap_or_default().trim();
    let parts = kind.split_once('/');
    let is_whole = parts.is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty());
    if !is_whole || !is_written || text.trim() != text || text.len() > TYPE_BYTES_MAX {
        let message = format!("content_type cannot be `{}`", shown(text));
        let help = "write `text/html; charset=utf-8` or `application/json`";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(text)
}

const TYPE_BYTES_MAX: usize = 128;

/// Larger texts are pages, which a backend serves better.
const BODY_BYTES_MAX: usize = 16 * 1024;
