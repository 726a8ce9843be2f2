//! Authorities whose word is believed: public, and read here.

use std::io::Read;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::Authorities;
use crate::logic::tls::x509::Certificate;
use crate::model::Der;
use crate::process::supervisor::reload::file;

/// Returns the authorities in a file; what is wrong is for people.
pub(crate) fn of_file(path: &Path) -> Result<Vec<Der>, String> {
    let shown = path.display();
    let failed = |why: String| format!("{shown}: {why}");
    let help = "put the certificates of the authorities into it, as PEM";
    let mut text = Vec::new();
    let read = file::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text))
        .map_err(|error| {
            let (reader, owner) = (file::reader(), file::owner_of(path));
            failed(format!(
                "it cannot be read as {reader}{owner}: {error}\nhelp: let it be read"
            ))
        })?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(failed(format!(
            "it has more than {FILE_BYTES_MAX} bytes\nhelp: {help}"
        )));
    }
    let ders = CertificateDer::pem_slice_iter(&text).map(|der| der.map(|der| Der(der.to_vec())));
    let ders: Result<Vec<Der>, _> = ders.collect();
    let ders = ders.map_err(|_| failed(format!("it is no PEM (RFC 7468)\nhelp: {help}")))?;
    if ders.is_empty() {
        return Err(failed(format!(
            "there is no certificate in it\nhelp: {help}"
        )));
    }
    for der in &ders {
        let read =
            Certificate::parse(&der.0).map_err(|error| failed(format!("{error}\nhelp: {help}")))?;
        if !read.is_ca && read.subject != read.issuer {
            let subject = read.subject;
            return Err(failed(format!("`{subject}` is no authority\nhelp: {help}")));
        }
    }
    Ok(ders)
}

/// Returns the authorities that a pool believes.
pub(crate) fn of_pool(ca: &Authorities) -> Result<Vec<Der>, String> {
    match ca {
        Authorities::File(path) => of_file(path),
        Authorities::System => {
            let found = rustls_native_certs::load_native_certs();
            let ders: Vec<Der> = found.certs.iter().map(|it| Der(it.to_vec())).collect();
            if ders.is_empty() {
                let why = found.errors.first().map(ToString::to_string);
                let why = why.unwrap_or_else(|| "there are none".to_owned());
                return Err(format!(
                    "the authorities of the system: {why}\nhelp: install Debian's \
                     ca-certificates, or name a file under `ca`"
                ));
            }
            Ok(ders)
        }
    }
}

const FILE_BYTES_MAX: u64 = 4 << 20;
