//! The key `fallback` of a pool: what answers while none of its backends is up.

use std::collections::BTreeMap;

use crate::config::Fallback;
use crate::config::check::listeners::names::known_pool;
use crate::config::check::listeners::respond;
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::logic::balance::fallback::FALLBACKS_MAX;

/// Returns what answers; `Some(None)`: nothing but 503.
pub(super) fn check(
    fields: &Fields<'_>,
    names: &[String],
    problems: &mut Problems,
) -> Option<Option<Fallback>> {
    let Some(value) = fields.get("fallback") else {
        return Some(None);
    };
    match &value.node.kind {
        Kind::Text(_) => {
            let name = known_pool(value, Some(names), problems)?;
            Some(Some(Fallback::Pool(name.to_owned())))
        }
        Kind::Map(_) => {
            let fields = value.fields(&["respond"], problems)?;
            let respond = fields.need("respond", "{status: 503}", problems)?;
            let respond = respond::check(respond, "a pool", problems)?;
            Some(Some(Fallback::Respond(respond)))
        }
        Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::List(_) => {
            let message = "fallback must be the name of a pool or a map";
            let help = "write `fallback: NAME` or `fallback: {respond: {status: 503}}`";
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

/// Returns which pool of these is the fallback of which, and complains of those that come back to
/// where they began, and of too many in a row.
pub(super) fn check_loops(
    entries: &[Value<'_>],
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let fallbacks: Vec<(&str, Value<'_>, &str)> = entries.iter().filter_map(of).collect();
    for (pool, value, _) in &fallbacks {
        let mut way = vec![*pool];
        while let Some((.., next)) = fallbacks.iter().find(|(name, ..)| way.last() == Some(name)) {
            let is_loop = way.contains(next);
            way.push(next);
            if is_loop || way.len() > FALLBACKS_MAX + 1 {
                break;
            }
        }
        let shown: Vec<String> = way.iter().map(|name| shown(name).to_string()).collect();
        let way_shown = shown.join(", ");
        if way.last() == Some(pool) {
            let message = format!("these fallbacks go round in a circle: {way_shown}");
            value.wrong_with_help(message, "the last of them has none, or responds", problems);
        } else if way.len() > FALLBACKS_MAX + 1 {
            let message = format!("more than {FALLBACKS_MAX} fallbacks in a row: {way_shown}");
            value.wrong_with_help(message, "let the first of them go on to the last", problems);
        }
    }
    let owned = |(pool, _, to): (&str, Value<'_>, &str)| (pool.to_owned(), to.to_owned());
    fallbacks.into_iter().map(owned).collect()
}

/// Returns the name of a pool, and what its `fallback` names.
fn of<'a>(entry: &Value<'a>) -> Option<(&'a str, Value<'a>, &'a str)> {
    let value = entry.entry("fallback")?;
    Some((entry.name, value, value.as_text()?))
}
