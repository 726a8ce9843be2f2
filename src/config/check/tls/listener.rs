//! The key `tls` of a listener.

use std::sync::Arc;

use super::{check_file, check_pair, minimum_version};
use crate::config::check::values::{flag, path};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, check_each};
use crate::config::report::{Problems, shown};
use crate::config::{
    CertificateSource, ClientCertificates, DefaultCertificate, FoundTls, ListenerTls, Resumption,
};
use crate::logic::tls::server_name::is_server_name;

/// Returns how a listener speaks TLS; `Some(None)`: not at all.
pub(in crate::config::check) fn check(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<ListenerTls>> {
    let Some(value) = fields.get("tls") else {
        return Some(None);
    };
    if let Some(redirect) = fields.get("https_redirect")
        && redirect.node.kind != Kind::Bool(false)
    {
        let help = "take one of them out: a listener of its own, on port 80, redirects";
        let message = "a listener with `tls` has nowhere to redirect to with `https_redirect`";
        problems.add_with_help(redirect.key, message, help);
    }
    let keys = &[
        "certificates",
        "default_certificate",
        "minimum_version",
        "client_certificates",
        "resumption",
    ];
    let fields = value.fields(keys, problems)?;
    let certificates = fields.need("certificates", "/etc/evenkeel/tls", problems);
    let certificates = certificates.and_then(|value| check_certificates(value, problems));
    let default = check_default(&fields, problems);
    let minimum_version = minimum_version(&fields, problems);
    let clients = check_clients(&fields, problems);
    let resumption = flag(&fields, "resumption", true, problems);
    Some(Some(ListenerTls {
        certificates: certificates?,
        default: default?,
        minimum_version: minimum_version?,
        client_certificates: clients?,
        resumption: match resumption? {
            true => Resumption::Tickets,
            false => Resumption::Never,
        },
        found: Arc::new(FoundTls::default()),
    }))
}

/// One place, or a list of them.
fn check_certificates(value: Value<'_>, problems: &mut Problems) -> Option<Vec<CertificateSource>> {
    if !matches!(value.node.kind, Kind::List(_)) {
        return Some(vec![check_source(value, problems)?]);
    }
    let items = value.items("places of certificates", problems)?;
    check_each(items, |item| check_source(item, problems))
}

fn check_source(value: Value<'_>, problems: &mut Problems) -> Option<CertificateSource> {
    if matches!(value.node.kind, Kind::Map(_)) {
        return check_pair(value, problems);
    }
    let help = "write a directory, as `/etc/evenkeel/tls`, a file that has certificate and key, or \
                `{certificate: FILE, key: FILE}`";
    let place = path(value, "the path of certificates", help, problems)?;
    Some(CertificateSource::Path(place))
}

fn check_default(fields: &Fields<'_>, problems: &mut Problems) -> Option<DefaultCertificate> {
    let Some(value) = fields.get("default_certificate") else {
        return Some(DefaultCertificate::First);
    };
    match value.text("the name of a server, `first` or `none`", problems)? {
        "first" => Some(DefaultCertificate::First),
        "none" => Some(DefaultCertificate::Refuse),
        name if is_server_name(name) => Some(DefaultCertificate::Name(name.to_owned())),
        name => {
            let message = format!("`{}` is no name of a server", shown(name));
            let help = "write a name that one of the certificates is for, `first`, or `none`: \
                        clients that ask for an unknown name are refused then";
            value.wrong_with_help(message, help, problems);
            None
        }
    }
}

fn check_clients(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<ClientCertificates>> {
    let Some(value) = fields.get("client_certificates") else {
        return Some(None);
    };
    let fields = value.fields(&["ca", "required"], problems)?;
    let example = "/etc/evenkeel/clients-ca.pem";
    let ca = fields.need("ca", example, problems);
    let ca = ca.and_then(|value| check_file(value, example, problems));
    let required = flag(&fields, "required", true, problems);
    Some(Some(ClientCertificates {
        ca: ca?,
        required: required?,
    }))
}
