//! The message of an error says its own level only: the cause is its `source`, and `model::Chain`
//! prints both. A message that has the cause in it would print it twice.
//!
//! A field is a cause by `#[source]`, `#[from]`, its name `source`, or the type of an error.

use crate::source::{Token, sources, tokens};

#[test]
fn messages_of_errors_leave_their_causes_out() {
    super::report(
        sources(&["src"])
            .iter()
            .flat_map(|file| check_messages(&file.path, &file.text)),
    );
}

/// Holds every `#[error("…")]` to the fields of its variant or struct.
pub(crate) fn check_messages(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, attribute) in text.match_indices("#[error(\"") {
        let after = &text[at + attribute.len()..];
        let Some((message, after)) = split_literal(after) else {
            continue;
        };
        let rest = tokens(after);
        let arguments = rest.iter().position(|token| token.text == "]");
        let (arguments, item) = rest.split_at(arguments.unwrap_or(rest.len()));
        let mut named = placeholders(message);
        named.extend(arguments.iter().map(|token| token.text.clone()));
        for field in fields(item).iter().filter(|field| field.is_cause()) {
            if named.contains(&field.name) {
                let line = text[..at].matches('\n').count() + 1;
                let name = &field.name;
                findings.push(format!(
                    "{path}:{line}: the message has the cause `{name}` in it: mark that \
                     `#[source]`, and print the error with `model::Chain`"
                ));
            }
        }
    }
    findings
}

/// Splits after the end of a literal whose opening quote is gone.
fn split_literal(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// Returns what the braces of a message name.
fn placeholders(message: &str) -> Vec<String> {
    let message = message.replace("{{", "");
    let parts = message.split('{').skip(1);
    let inside = parts.filter_map(|part| part.split('}').next());
    let names = inside.filter_map(|inside| inside.split(':').next());
    names.map(str::to_owned).collect()
}

/// A field of a variant or struct; an unnamed one is called by its number.
struct Field {
    name: String,
    is_marked: bool,
    kind: Vec<Token>,
}

impl Field {
    fn is_cause(&self) -> bool {
        let is_error = |word: &str| {
            ["Error", "Errors", "Errno"]
                .iter()
                .any(|e| word.ends_with(e))
        };
        self.is_marked || self.name == "source" || self.kind.iter().any(|t| is_error(&t.text))
    }
}

/// Returns the fields of the variant or struct at the start of these tokens, after the end of its
/// first attribute.
fn fields(item: &[Token]) -> Vec<Field> {
    let word = |index: usize| item.get(index).map_or("", |token| token.text.as_str());
    let opens = (0..item.len()).find(|index| ["(", "{", ",", ";", "}"].contains(&word(*index)));
    // Another attribute, or what is visible where, comes before the name.
    let opens = opens.filter(|index| ["(", "{"].contains(&word(*index)));
    let Some(opens) = opens else {
        return Vec::new();
    };
    let mut depth = 0;
    let mut fields = vec![Vec::new()];
    for token in &item[opens..] {
        match token.text.as_str() {
            "(" | "{" | "[" | "<" => depth += 1,
            ")" | "}" | "]" | ">" => depth -= 1,
            _ => {}
        }
        match (depth, token.text.as_str()) {
            (0, _) => break,
            (1, ",") => fields.push(Vec::new()),
            _ => fields.last_mut().unwrap().push(token.clone()),
        }
    }
    // The opening one is in the first.
    fields[0].remove(0);
    let filled = fields.into_iter().filter(|field| !field.is_empty());
    filled.enumerate().map(|(n, f)| field(n, &f)).collect()
}

fn field(number: usize, tokens: &[Token]) -> Field {
    let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut start = 0;
    let mut is_marked = false;
    while word(start) == "#" {
        is_marked |= ["source", "from"].contains(&word(start + 2));
        let rest = tokens[start..].iter();
        start += rest.take_while(|token| token.text != "]").count() + 1;
    }
    let colon = (start..tokens.len()).find(|index| word(*index) == ":");
    Field {
        name: colon.map_or_else(|| number.to_string(), |colon| word(colon - 1).to_owned()),
        is_marked,
        kind: tokens[colon.map_or(start, |colon| colon + 1)..].to_vec(),
    }
}
