//! The section `group`: what the nodes share.

use super::check_file;
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::{Problems, shown};
use crate::config::{GroupConfig, SecretSource};

/// Returns what the nodes share.
pub(in crate::config::check) fn check(
    file: &Fields<'_>,
    problems: &mut Problems,
) -> Option<GroupConfig> {
    let Some(section) = file.get("group") else {
        return Some(GroupConfig::default());
    };
    let fields = section.fields(&["secret"], problems)?;
    let secret = match fields.get("secret") {
        None => Some(Vec::new()),
        Some(value) if matches!(value.node.kind, Kind::List(_)) => {
            let items = value.items("secrets, the one that is used first", problems)?;
            check_each(items, |item| check_secret(item, "group.key", problems))
        }
        Some(value) => check_secret(value, "group.key", problems).map(|one| vec![one]),
    };
    Some(GroupConfig { secret: secret? })
}

/// Returns where a secret is; `example` is the name of a file that could have it.
pub(in crate::config::check) fn check_secret(
    value: Value<'_>,
    example: &str,
    problems: &mut Problems,
) -> Option<SecretSource> {
    let path = format!("/etc/evenkeel/{example}");
    let help = format!(
        "write `{{file: {path}}}`, or `{{credential: {example}}}` for one that systemd loads"
    );
    if !matches!(value.node.kind, Kind::Map(_)) {
        let message = "the secret is in a file, not in the configuration";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    let fields = value.fields(&["file", "credential"], problems)?;
    match (fields.get("file"), fields.get("credential")) {
        (Some(file), None) => check_file(file, &path, problems).map(SecretSource::File),
        (None, Some(credential)) => {
            let name = credential.text("the name of a credential", problems)?;
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                let message = format!("`{}` is no name of a credential", shown(name));
                credential.wrong_with_help(message, help, problems);
                return None;
            }
            Some(SecretSource::Credential(name.to_owned()))
        }
        (None, None) | (Some(_), Some(_)) => {
            value.wrong_with_help("a secret is in one place", help, problems);
            None
        }
    }
}
