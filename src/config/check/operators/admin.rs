//! The section `admin`: where operators look at the daemon with a browser, and programs at its
//! metrics.

use std::net::SocketAddr;

use crate::config::check::listeners::overlap;
use crate::config::check::tls::check_secret;
use crate::config::check::values::{self, Use};
use crate::config::file::Kind;
use crate::config::reader::{Value, check_each};
use crate::config::report::{Problems, shown};
use crate::config::{AdminConfig, ListenerConfig};

/// Checks the section; `listeners` is `None` where something is wrong with them.
pub(in crate::config::check) fn check(
    section: Value<'_>,
    listeners: Option<&[ListenerConfig]>,
    problems: &mut Problems,
) -> Option<AdminConfig> {
    let fields = section.fields(&["listen", "token", "hosts"], problems)?;
    let listen = fields
        .need("listen", "127.0.0.1:8404", problems)
        .and_then(|value| check_listen(value, listeners.unwrap_or_default(), problems));
    let token = match fields.get("token") {
        None => Some(None),
        Some(value) => check_secret(value, "admin.token", problems).map(Some),
    };
    let hosts = match fields.get("hosts") {
        None => Some(Vec::new()),
        Some(value) => {
            let items = value.items("names of hosts", problems)?;
            check_each(items, |item| check_host(item, problems))
        }
    };
    Some(AdminConfig {
        listen: listen?,
        token: token?,
        hosts: hosts?,
    })
}

/// One address with a port, or a list.
fn check_listen(
    value: Value<'_>,
    listeners: &[ListenerConfig],
    problems: &mut Problems,
) -> Option<Vec<SocketAddr>> {
    let items = match value.node.kind {
        Kind::List(_) => value.items("addresses with ports", problems)?,
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::Map(_) => vec![value],
    };
    let mut taken: Vec<SocketAddr> = Vec::new();
    check_each(items, |item| {
        let addr = values::socket_addr(item, Use::Bind, problems)?;
        if let Some(other) = taken.iter().find(|other| overlap(addr, **other)) {
            let message = format!("{addr} is here twice: {other} has it already");
            item.wrong_with_help(message, "name each address once", problems);
            return None;
        }
        let binds = |listener: &&ListenerConfig| {
            let mut binds = listener.binds.iter();
            binds.any(|bind| overlap(addr, *bind))
        };
        if let Some(listener) = listeners.iter().find(binds) {
            let message = format!("{addr} is taken, by listener `{}`", shown(&listener.name));
            let help = "the admin listener has an address of its own: take another port";
            item.wrong_with_help(message, help, problems);
            return None;
        }
        taken.push(addr);
        Some(addr)
    })
}

/// A name under which it is asked: without a port, because every port of it is meant.
fn check_host(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let host = values::host(value, problems)?;
    if host.contains(':') {
        let message = format!("`{}` is no name of a host", shown(&host));
        let help = "write the name alone, as `lb.example.org`: addresses are always answered, and \
                    every port";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(host.to_ascii_lowercase())
}
