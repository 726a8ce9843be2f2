//! `/livez`, `/readyz` and `/active`: 200 or 503, for monitors and the balancers of clouds.
//!
//! Alive is a daemon that answers. Ready is one that could serve: both its processes answer, and no
//! virtual router is in fault. Active is a node that has an address, all of them or those of one
//! virtual router; without virtual routers it is one that is ready.

use http::{StatusCode, Uri};

use super::answer::{Answer, UNAVAILABLE};
use super::watched::Snapshot;
use crate::ipc::control::{RouterStatus, Status};

/// Returns whether a path is one of a probe.
pub(super) fn is_one(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/active")
}

/// Answers a probe, where the path is one of those.
pub(super) fn answer(uri: &Uri, snapshot: Option<&Snapshot>) -> Option<Answer> {
    if !is_one(uri.path()) {
        return None;
    }
    let status = snapshot.and_then(|snapshot| snapshot.status.as_ref());
    let Some(status) = status else {
        return Some(Answer::line(UNAVAILABLE, "the daemon does not answer"));
    };
    let verdict = match uri.path() {
        "/readyz" => unready(status),
        "/active" => inactive(status, asked_router(uri).as_deref()),
        _ => Ok(()),
    };
    Some(match verdict {
        Ok(()) => Answer::line(StatusCode::OK, "ok"),
        Err(why) => Answer::line(UNAVAILABLE, &why),
    })
}

/// Returns why a node could not serve.
fn unready(status: &Status) -> Result<(), String> {
    let silent = status
        .warnings
        .iter()
        .find(|it| it.ends_with("does not answer"));
    if let Some(silent) = silent {
        return Err(silent.clone());
    }
    let stopped = status.processes.iter().find(|it| it.pid.is_none());
    if let Some(process) = stopped {
        return Err(format!("{} does not run", process.name));
    }
    let fault = status
        .virtual_routers
        .iter()
        .find(|it| it.effective_priority == 0);
    if let Some(router) = fault {
        let why = &router.priority_reason;
        return Err(format!("{} does not stand: {why}", router.name));
    }
    Ok(())
}

fn inactive(status: &Status, asked: Option<&str>) -> Result<(), String> {
    if status.virtual_routers.is_empty() && asked.is_none() {
        return unready(status);
    }
    let is_asked = |router: &&RouterStatus| {
        asked.is_none_or(|name| router.name.entry == name || router.name.to_string() == name)
    };
    let mut routers = status.virtual_routers.iter().filter(is_asked).peekable();
    if routers.peek().is_none() {
        let name = asked.unwrap_or_default();
        return Err(format!("there is no virtual router `{name}`"));
    }
    match routers.find(|router| router.state != "Active") {
        None => Ok(()),
        Some(router) => Err(format!("{} is {}", router.name, router.state)),
    }
}

/// Returns what `?router=` says.
fn asked_router(uri: &Uri) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let router = pairs.find(|(name, _)| name == "router");
    router.map(|(_, value)| value.into_owned())
}
