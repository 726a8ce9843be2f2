//! The key `affinity` of a pool.

use std::time::Duration;

use crate::config::check::values::{cookie_name, duration, flag, one_of};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::config::{CookieRules, SameSite, Secure};

/// Returns the cookie by which sessions stay on their backend; `Some(None)`: there is none.
pub(super) fn check(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<CookieRules>> {
    let Some(value) = fields.get("affinity") else {
        return Some(None);
    };
    if !matches!(value.node.kind, Kind::Map(_)) {
        let help = "write `affinity: {cookie: {name: evenkeel}}`";
        value.wrong_with_help("affinity must be a map", help, problems);
        return None;
    }
    let fields = value.fields(&["cookie"], problems)?;
    let cookie = fields.need("cookie", "{name: evenkeel}", problems)?;
    check_rules(cookie, problems).map(Some)
}

fn check_rules(cookie: Value<'_>, problems: &mut Problems) -> Option<CookieRules> {
    let default = CookieRules::default();
    let known = &[
        "name",
        "path",
        "secure",
        "http_only",
        "same_site",
        "lifetime",
    ];
    let fields = cookie.fields(known, problems)?;
    let name = match fields.get("name") {
        None => Some(default.name),
        Some(value) => check_name(value, problems),
    };
    let path = match fields.get("path") {
        None => Some(default.path),
        Some(value) => check_path(value, problems),
    };
    let secure = match fields.get("secure") {
        None => Some(default.secure),
        Some(_) => flag(&fields, "secure", true, problems).map(|is| match is {
            true => Secure::Always,
            false => Secure::Never,
        }),
    };
    let http_only = flag(&fields, "http_only", default.http_only, problems);
    let same_site = match fields.get("same_site") {
        None => Some(default.same_site),
        Some(value) => check_same_site(value, problems),
    };
    let lifetime = match fields.get("lifetime") {
        None => Some(None),
        Some(value) => check_lifetime(value, problems).map(Some),
    };
    let rules = CookieRules {
        name: name?,
        path: path?,
        secure: secure?,
        http_only: http_only?,
        same_site: same_site?,
        lifetime: lifetime?,
    };
    check_together(&rules, &fields, problems).then_some(rules)
}

fn check_name(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let name = cookie_name(value, problems)?;
    if name.len() > NAME_BYTES_MAX {
        let message = format!("the name of a cookie has {NAME_BYTES_MAX} bytes at most");
        value.wrong_with_help(message, "every request has it: keep it short", problems);
        return None;
    }
    Some(name)
}

/// RFC 6265 §4.1.1, §5.2.4.
fn check_path(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let path = value.text("a path", problems)?;
    let is_of_path = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if path.len() > PATH_BYTES_MAX || !path.starts_with('/') || !path.bytes().all(is_of_path) {
        let message = format!("path cannot be `{}`", shown(path));
        let help = format!(
            "write it from `/` on, without spaces and semicolons, in {PATH_BYTES_MAX} bytes at \
             most: `/shop`"
        );
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(path.to_owned())
}

/// Max-Age has whole seconds (RFC 6265 §4.1.1).
fn check_lifetime(value: Value<'_>, problems: &mut Problems) -> Option<Duration> {
    let lifetime = duration(value, LIFETIME_MIN..=LIFETIME_MAX, problems)?;
    if lifetime.subsec_nanos() != 0 {
        value.wrong("lifetime must be whole seconds", problems);
        return None;
    }
    Some(lifetime)
}

fn check_same_site(value: Value<'_>, problems: &mut Problems) -> Option<SameSite> {
    let words = [
        ("lax", SameSite::Lax),
        ("strict", SameSite::Strict),
        ("none", SameSite::None),
    ];
    let help = "write `lax`, `strict` or `none`";
    one_of(value, "lax, strict or none", &words, help, problems)
}

/// Browsers throw a cookie away that breaks one of these (RFC 6265bis §4.1.2.7, §4.1.3).
fn check_together(rules: &CookieRules, fields: &Fields<'_>, problems: &mut Problems) -> bool {
    let begins = |prefix: &str| {
        let name = rules.name.as_bytes().get(..prefix.len());
        name.is_some_and(|name| name.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let is_of_host = begins("__Host-");
    let is_secure = rules.secure == Secure::Always;
    let mut is_right = true;
    let mut wrong = |key: &str, message: &str, help: &str| {
        let at = fields.get(key).map_or_else(|| fields.key(), Value::at);
        problems.add_with_help(at, message, help);
        is_right = false;
    };
    let help = "write `secure: true`: browsers throw it away otherwise";
    if (is_of_host || begins("__Secure-")) && !is_secure {
        let message = "a cookie whose name begins with `__Host-` or `__Secure-` is secure";
        wrong("name", message, help);
    }
    if is_of_host && rules.path != "/" {
        let message = "a cookie whose name begins with `__Host-` has the path `/`";
        wrong("path", message, "leave `path` out, or call it `__Secure-`");
    }
    if rules.same_site == SameSite::None && !is_secure {
        wrong("same_site", "a cookie for all sites is secure", help);
    }
    is_right
}

const NAME_BYTES_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 256;
const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// Browsers keep none for longer (RFC 6265bis §5.5).
const LIFETIME_MAX: Duration = Duration::from_secs(400 * 24 * 3600);
