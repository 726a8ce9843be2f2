//! Files that were opened for the process `keys`: kept open, so that the next process gets exactly
//! what serves, whatever has become of the files meanwhile.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::Pairs;
use super::sources::{Look, PairFiles};
use crate::config::{CertificateChain, GroupConfig, SecretSource};
use crate::ipc::message::SECRET_BYTES_MIN;
use crate::model::KeyId;
use crate::process::supervisor::reload::file::{self, owner_of, reader};

/// The files with the secrets of a group, opened; none where it has none.
pub(crate) type GroupSecrets = Arc<[File]>;

/// The files of the pairs that serve, by where the certificate is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(BTreeMap<PathBuf, Arc<Opened>>);

/// One pair, opened and read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) certificate: File,
    pub(crate) key: Option<File>,
    pub(crate) chain: CertificateChain,
    /// What they looked like before they were read.
    pub(crate) looks: [Look; 2],
}

impl Opened {
    /// Opens the files of a pair and has them read.
    pub(crate) fn read(files: &PairFiles, pairs: &dyn Pairs) -> Result<Self, String> {
        let certificate = open(&files.certificate)?;
        let key = files.key.as_deref().map(open).transpose()?;
        let look = |file: &File| file.metadata().map(|it| Look::of(&it));
        let looks = [&certificate, key.as_ref().unwrap_or(&certificate)].map(look);
        let [Ok(of_certificate), Ok(of_key)] = looks else {
            return Err(format!(
                "{} cannot be looked at",
                files.certificate.display()
            ));
        };
        let chain = pairs.read(&files.certificate, &certificate, key.as_ref())?;
        Ok(Self {
            looks: [of_certificate, of_key],
            certificate,
            key,
            chain,
        })
    }
}

impl Held {
    pub(crate) fn insert(&mut self, path: PathBuf, opened: Arc<Opened>) {
        self.0.insert(path, opened);
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Arc<Opened>> {
        self.0.get(path)
    }

    /// Forgets those whose certificate is not named any more.
    pub(crate) fn retain(&mut self, is_named: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _| is_named(path));
    }

    /// Returns what their keys are known by.
    pub(crate) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.values().map(|opened| opened.chain.key)
    }

    /// Has all of them read again, by a process that has none; says what is wrong.
    pub(crate) fn read_again(&self, pairs: &dyn Pairs) -> Vec<String> {
        let wrong = self.0.iter().filter_map(|(path, opened)| {
            let read = pairs.read(path, &opened.certificate, opened.key.as_ref());
            read.err().map(|why| format!("{}: {why}", path.display()))
        });
        wrong.collect()
    }
}

/// Opens a regular file; what is wrong is for people, with how to mend it.
fn open(path: &Path) -> Result<File, String> {
    let unreadable = |error: io::Error| {
        let reader = reader();
        let owner = owner_of(path);
        let shown = path.display();
        let help = if error.kind() == io::ErrorKind::PermissionDenied {
            format!(
                "`setfacl -m u:{reader}:r {shown}` lets the daemon's user read it; it must also be \
                 let into the directories above: `setfacl -m u:{reader}:x DIRECTORY`"
            )
        } else {
            "write the file, or mend its name in the configuration".to_owned()
        };
        format!("{shown} cannot be read as {reader}{owner}: {error}\nhelp: {help}")
    };
    let file = file::open(path).map_err(unreadable)?;
    match file.metadata().map_err(unreadable)?.is_file() {
        true => Ok(file),
        false => Err(format!(
            "{} is not a regular file\nhelp: name a file",
            path.display()
        )),
    }
}

/// Opens the files with the secrets of a group.
///
/// # Errors
/// When one cannot be opened, or is too short; what is wrong is for people.
pub(crate) fn secrets(group: &GroupConfig) -> Result<GroupSecrets, String> {
    let open_one = |source: &SecretSource| {
        let (file, path) = open_secret(source)?;
        let shown = path.display();
        let is_long = is_long_enough(&file).map_err(|error| format!("{shown}: {error}"))?;
        match is_long {
            true => Ok(file),
            false => Err(format!(
                "{shown}: the secret has less than {SECRET_BYTES_MIN} bytes\nhelp: `openssl rand \
                 -hex 32` makes one"
            )),
        }
    };
    let files = group.secret.iter().map(open_one);
    files.collect()
}

/// Opens the file of a secret; returns it with its path.
pub(crate) fn open_secret(source: &SecretSource) -> Result<(File, PathBuf), String> {
    let path = match source {
        SecretSource::File(path) => path.clone(),
        SecretSource::Credential(name) => {
            let directory = env::var_os("CREDENTIALS_DIRECTORY");
            let directory = directory.ok_or_else(|| {
                format!(
                    "credential {name}: the unit has none (CREDENTIALS_DIRECTORY is not \
                     set)\nhelp: write `LoadCredential={name}:/etc/evenkeel/{name}` into the unit"
                )
            })?;
            Path::new(&directory).join(name)
        }
    };
    Ok((open(&path)?, path))
}

/// Returns whether a secret is no shorter than it may be without the white space at its end. Of
/// what is secret one byte is read: the first that makes it long enough.
fn is_long_enough(file: &File) -> io::Result<bool> {
    let mut byte = [0];
    for at in SECRET_BYTES_MIN as u64 - 1..SECRET_FILE_BYTES_MAX {
        if file.read_at(&mut byte, at)? == 0 {
            return Ok(false);
        }
        if !byte[0].is_ascii_whitespace() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// So much white space is no secret.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn the_end_of_a_line_is_no_byte_of_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let group = GroupConfig {
            secret: vec![SecretSource::File(path.clone())],
        };
        for (text, fits) in [
            ("", false),
            (&"a".repeat(31), false),
            (&format!("{}\n", "a".repeat(31)), false),
            (&format!("{}\r\n \n", "a".repeat(31)), false),
            (&"a".repeat(32), true),
            (&format!("{}\n", "a".repeat(32)), true),
            (&format!("{} \nb", "a".repeat(30)), true),
        ] {
            std::fs::write(&path, text).unwrap();
            match secrets(&group) {
                Ok(files) => assert!(fits && files.len() == 1, "{text:?}"),
                Err(why) => {
                    assert!(!fits, "{text:?}: {why}");
                    assert!(
                        why.contains("32 bytes") && why.contains("openssl rand"),
                        "{why}"
                    );
                }
            }
        }
    }
}
