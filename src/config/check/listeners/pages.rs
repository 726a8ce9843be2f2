//! The keys `error_pages` and `maintenance`: which files are answered for which statuses. Whether
//! they are there is found by who reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::check::clients::check_network;
use crate::config::check::values::{duration_or, path};
use crate::config::pages::{
    ErrorPages, ListenerMode, MaintenanceConfig, PageConfig, RETRY_AFTER_SECONDS, Statuses,
};
use crate::config::reader::{Fields, Value, check_each, nearest};
use crate::config::report::{Problems, shown};

/// Returns the pages that are named in these fields.
pub(crate) fn check_error_pages(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<ErrorPages> {
    let Some(value) = fields.get("error_pages") else {
        return Some(ErrorPages::default());
    };
    let entries = value.entries("files by status", problems)?;
    let pages = check_each(entries, |entry| {
        let statuses = check_statuses(entry, problems);
        let page = check_page(entry, problems);
        Some((statuses?, page?))
    })?;
    Some(ErrorPages(pages.into_iter().collect::<BTreeMap<_, _>>()))
}

/// A status from 400 to 599, or one of the two classes of them.
fn check_statuses(entry: Value<'_>, problems: &mut Problems) -> Option<Statuses> {
    let statuses = match entry.name {
        "4xx" => Some(Statuses::Class(4)),
        "5xx" => Some(Statuses::Class(5)),
        name => {
            let digits = name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_digit());
            let number = name.parse().ok().filter(|_| digits);
            number
                .filter(|number| (400..=599).contains(number))
                .map(Statuses::One)
        }
    };
    if statuses.is_none() {
        let name = shown(entry.name);
        let message = format!("`{name}` is no status that has an error page");
        let help = match nearest(entry.name, &["4xx", "5xx"]) {
            Some(near) if name.contains(['x', 'X']) => format!("did you mean `{near}`?"),
            Some(_) | None => "write a status from 400 to 599, `4xx` or `5xx`".to_owned(),
        };
        problems.add_with_help(entry.key, message, help);
    }
    statuses
}

fn check_page(value: Value<'_>, problems: &mut Problems) -> Option<PageConfig> {
    let help = "write where the file is, from `/` on: `/etc/evenkeel/503.html`";
    let path = path(value, "the path of a file", help, problems)?;
    Some(PageConfig { path, text: None })
}

/// Returns what a listener says in maintenance.
pub(super) fn check_maintenance(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<MaintenanceConfig> {
    let default = MaintenanceConfig::default();
    let Some(value) = fields.get("maintenance") else {
        return Some(default);
    };
    let fields = value.fields(&["page", "allow", "retry_after"], problems)?;
    let page = match fields.get("page") {
        None => Some(None),
        Some(value) => check_page(value, problems).map(Some),
    };
    let allow = match fields.get("allow") {
        None => Some(Vec::new()),
        Some(value) => {
            let items = value.items("networks", problems);
            items.and_then(|items| check_each(items, |item| check_network(item, problems)))
        }
    };
    let seconds = |seconds: &u32| Duration::from_secs((*seconds).into());
    let range = seconds(RETRY_AFTER_SECONDS.start())..=seconds(RETRY_AFTER_SECONDS.end());
    let retry_after = duration_or(&fields, "retry_after", default.retry_after, range, problems);
    Some(MaintenanceConfig {
        page: page?,
        allow: allow?,
        retry_after: retry_after?,
        mode: ListenerMode::Serving,
    })
}
