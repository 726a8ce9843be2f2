//! The key `tls` of a pool.

use std::sync::Arc;

use super::{check_pair, minimum_version};
use crate::config::check::values::{flag, path};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::config::{Authorities, FoundPoolTls, PoolTls, TlsVersion};
use crate::logic::tls::server_name::is_server_name;

/// Returns how TLS is spoken to backends; `Some(None)`: not at all.
pub(in crate::config::check) fn check(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<PoolTls>> {
    let Some(value) = fields.get("tls") else {
        return Some(None);
    };
    let default = PoolTls {
        ca: Authorities::System,
        server_name: None,
        verify: true,
        certificate: None,
        minimum_version: TlsVersion::Tls12,
        found: Arc::new(FoundPoolTls::default()),
    };
    match value.node.kind {
        Kind::Bool(true) => return Some(Some(default)),
        Kind::Bool(false) => return Some(None),
        Kind::Null
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => {}
    }
    let keys = &[
        "ca",
        "server_name",
        "verify",
        "certificate",
        "minimum_version",
    ];
    let fields = value.fields(keys, problems)?;
    let ca = fields
        .get("ca")
        .map_or(Some(default.ca), |value| check_ca(value, problems));
    let server_name = match fields.get("server_name") {
        None => Some(None),
        Some(value) => check_server_name(value, problems).map(Some),
    };
    let verify = flag(&fields, "verify", true, problems);
    if verify == Some(false)
        && let Some(ca) = fields.get("ca")
    {
        let message = "`ca` says nothing where `verify` is false: whoever answers is believed";
        problems.add_with_help(ca.key, message, "take one of them out");
    }
    let certificate = match fields.get("certificate") {
        None => Some(None),
        Some(value) => check_pair(value, problems).map(Some),
    };
    let minimum_version = minimum_version(&fields, problems);
    Some(Some(PoolTls {
        ca: ca?,
        server_name: server_name?,
        verify: verify?,
        certificate: certificate?,
        minimum_version: minimum_version?,
        found: default.found,
    }))
}

fn check_ca(value: Value<'_>, problems: &mut Problems) -> Option<Authorities> {
    if value.node.kind == Kind::Text("system".to_owned()) {
        return Some(Authorities::System);
    }
    let help = "write `system`, or where the file of authorities is: `/etc/evenkeel/backends.pem`";
    let file = path(value, "`system` or the path of a file", help, problems)?;
    Some(Authorities::File(file))
}

fn check_server_name(value: Value<'_>, problems: &mut Problems) -> Option<String> {
    let name = value.text("the name of a server", problems)?;
    if !is_server_name(name) {
        let message = format!("`{}` is no name of a server", shown(name));
        let help = "write the name that the backends' certificate is for: `web.internal`; without \
                    the key it is the backend's address";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    Some(name.to_owned())
}
