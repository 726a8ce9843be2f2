//! The section `access_log`: where a line for each request goes, and how it looks.

use std::path::PathBuf;

use crate::config::reader::{Fields, Value, nearest};
use crate::config::report::{Problems, shown};
use crate::config::{AccessLogConfig, AccessLogTarget};
use crate::logic::access::{Field, Format, FormatError};

/// Checks the section.
pub(in crate::config::check) fn check(
    section: Value<'_>,
    problems: &mut Problems,
) -> Option<AccessLogConfig> {
    let fields = section.fields(&["to", "format"], problems)?;
    let to = fields
        .need("to", "/var/log/evenkeel/access.log", problems)
        .and_then(|value| check_target(value, problems));
    let format = check_format(&fields, problems);
    Some(AccessLogConfig {
        to: to?,
        format: format?,
    })
}

fn check_target(value: Value<'_>, problems: &mut Problems) -> Option<AccessLogTarget> {
    let text = value.text("a file, `stdout` or `journald`", problems)?;
    match text {
        "stdout" => Some(AccessLogTarget::StandardOutput),
        "journald" => Some(AccessLogTarget::Journald),
        path if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => {
            Some(AccessLogTarget::File(PathBuf::from(path)))
        }
        other => {
            let message = format!("the access log cannot go to `{}`", shown(other));
            let help = match nearest(other, &["stdout", "journald"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "write an absolute path, as `/var/log/evenkeel/access.log`, `stdout` or `journald`"
                        .to_owned()
                }
            };
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

fn check_format(fields: &Fields<'_>, problems: &mut Problems) -> Option<Format> {
    let Some(value) = fields.get("format") else {
        return Some(Format::Json);
    };
    let text = value.text("`json` or a text with placeholders", problems)?;
    match Format::parse(text) {
        Ok(format) => Some(format),
        Err(error) => {
            let message = format!("the format cannot be `{}`: {}", shown(text), quoted(&error));
            value.wrong_with_help(message, help(&error, text), problems);
            None
        }
    }
}

/// Returns the error with a name that somebody wrote made short and printable.
fn quoted(error: &FormatError) -> String {
    match error {
        FormatError::Unknown(name) => FormatError::Unknown(shown(name)).to_string(),
        FormatError::Twice(_)
        | FormatError::Unclosed
        | FormatError::Unopened
        | FormatError::Empty
        | FormatError::Control
        | FormatError::TooLong => error.to_string(),
    }
}

fn help(error: &FormatError, text: &str) -> String {
    let names = Field::ALL.map(Field::name);
    match error {
        FormatError::Unknown(name) => match nearest(name, &names) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => format!("these are there: {}", names.join(", ")),
        },
        FormatError::Twice(_) => "a line says a thing once; keep one of the two".to_owned(),
        FormatError::Unclosed => "close it, or write `{{` for a brace".to_owned(),
        FormatError::Unopened => "write `}}` for a brace".to_owned(),
        FormatError::Empty => match nearest(text, &["json"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => EXAMPLE.to_owned(),
        },
        FormatError::Control => "break no line and leave out what cannot be seen".to_owned(),
        FormatError::TooLong => EXAMPLE.to_owned(),
    }
}

const EXAMPLE: &str =
    "write `json`, or a text such as \"{client} {method} {path} {status} {total_ms}\"";
