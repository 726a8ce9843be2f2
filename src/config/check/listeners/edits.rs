//! What is edited of the fields of requests and responses, and texts with placeholders.

use super::conditions::field_name;
use crate::config::file::NodeId;
use crate::config::reader::{Fields, Value, check_each, nearest};
use crate::config::report::{Problems, shown};
use crate::logic::http1::rewrite::edit::{FieldEdits, objection};
use crate::logic::http1::rewrite::template::{Placeholder, Template, TemplateError};

/// Checks `request_headers` or `response_headers`; nothing is edited where the key is absent.
pub(super) fn check(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<FieldEdits> {
    let Some(value) = fields.get(key) else {
        return Some(FieldEdits::default());
    };
    let fields = value.fields(&["set", "add", "remove"], problems)?;
    let set = check_lines(&fields, "set", problems);
    let add = check_lines(&fields, "add", problems);
    let remove = match fields.get("remove") {
        None => Some(Vec::new()),
        Some(value) => {
            let items = value.items("field names", problems)?;
            check_each(items, |item| {
                let name = item.text("the name of a field", problems)?;
                editable(name, item.at(), problems)
            })
        }
    };
    let edits = FieldEdits {
        remove: remove?,
        set: set?,
        add: add?,
    };
    let count = edits.remove.len() + edits.set.len() + edits.add.len();
    if count > EDITS_MAX {
        let message = format!("{count} fields are too many to be edited");
        value.wrong_with_help(message, format!("at most {EDITS_MAX} can be"), problems);
        return None;
    }
    Some(edits)
}

/// Returns a text with placeholders.
pub(super) fn template(value: Value<'_>, text: &str, problems: &mut Problems) -> Option<Template> {
    let error = match Template::parse(text) {
        Ok(template) => return Some(template),
        Err(error) => error,
    };
    let (error, help) = match error {
        TemplateError::Unknown(name) => {
            let names = Placeholder::ALL.map(|(_, name)| name);
            let help = match nearest(&name, &names) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => format!("placeholders are {}", names.join(", ")),
            };
            let name = shown(&name);
            (TemplateError::Unknown(name), Some(help))
        }
        TemplateError::Brace | TemplateError::Control => (error, None),
    };
    let (name, text) = (shown(value.name), shown(text));
    let message = format!("{name} cannot be `{text}`: {error}");
    match help {
        Some(help) => value.wrong_with_help(message, help, problems),
        None => value.wrong(message, problems),
    }
    None
}

fn check_lines(
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Problems,
) -> Option<Vec<(String, Template)>> {
    let Some(value) = fields.get(key) else {
        return Some(Vec::new());
    };
    let pairs = value.pairs("values by field name", problems)?;
    let mut seen: Vec<&str> = Vec::new();
    check_each(pairs, |pair| {
        let name = editable(pair.name, pair.key, problems);
        if seen.iter().any(|it| it.eq_ignore_ascii_case(pair.name)) {
            let message = format!("`{}` is here twice", shown(pair.name));
            let help = "the case of letters does not matter in names of fields";
            problems.add_with_help(pair.key, message, help);
            return None;
        }
        seen.push(pair.name);
        let text = pair.text("a text", problems)?;
        if text.trim().is_empty() || text.len() > VALUE_BYTES_MAX {
            let message = format!("{} cannot be `{}`", shown(pair.name), shown(text));
            let help = format!(
                "a value has 1 to {VALUE_BYTES_MAX} bytes; `remove: [{}]` drops the field",
                shown(pair.name)
            );
            pair.wrong_with_help(message, help, problems);
            return None;
        }
        let template = template(pair, text.trim(), problems);
        Some((name?, template?))
    })
}

/// The name of a field that may be edited.
fn editable(name: &str, at: NodeId, problems: &mut Problems) -> Option<String> {
    if let Some(why) = objection(name).filter(|_| !name.is_empty()) {
        problems.add_with_help(at, format!("{} cannot be edited", shown(name)), why);
        return None;
    }
    field_name(name, at, problems)
}

/// More of a listener, or of a route, are a mistake.
const EDITS_MAX: usize = 32;

/// Longer values do not fit beside a head of the usual size.
const VALUE_BYTES_MAX: usize = 2048;
