//! Which files a source of certificates means, and what they look like from outside.
//!
//! In a directory: `NAME.crt` or `NAME.pem` with `NAME.key` beside it; `NAME.pem` alone, which has
//! its key in itself, as HAProxy wants it; and subdirectories with `fullchain.pem` and
//! `privkey.pem`, as certbot makes them. Everything else is left alone.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::CertificateSource;

/// The files of one pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PairFiles {
    pub(crate) certificate: PathBuf,
    /// Where it is in a file of its own.
    pub(crate) key: Option<PathBuf>,
}

/// What a file looks like from outside: another one, or one that was written, looks otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a source has no pairs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    System(#[from] io::Error),
    #[error("there is no certificate in it")]
    Empty,
    #[error("there are more than {PAIRS_MAX} certificates in it")]
    TooMany,
}

impl PairFiles {
    /// Returns what its files look like; `None` where one is not there.
    pub(crate) fn look(&self) -> Option<[Look; 2]> {
        let look = |path: &Path| fs::metadata(path).ok().map(|it| Look::of(&it));
        let certificate = look(&self.certificate)?;
        let key = match &self.key {
            Some(key) => look(key)?,
            None => certificate,
        };
        Some([certificate, key])
    }
}

impl Look {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Returns the pairs that a source means, in the order of their names.
pub(crate) fn pairs_of(source: &CertificateSource) -> Result<Vec<PairFiles>, SourceError> {
    let path = match source {
        CertificateSource::Pair { certificate, key } => {
            return Ok(vec![PairFiles {
                certificate: certificate.clone(),
                key: Some(key.clone()).filter(|key| key != certificate),
            }]);
        }
        CertificateSource::Path(path) => path,
    };
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![PairFiles {
            certificate: path.clone(),
            key: None,
        }]);
    }
    let mut pairs = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        pairs.extend(pair_at(&path));
        if pairs.len() > PAIRS_MAX {
            return Err(SourceError::TooMany);
        }
    }
    if pairs.is_empty() {
        return Err(SourceError::Empty);
    }
    pairs.sort();
    Ok(pairs)
}

/// Returns the pair that an entry of a directory begins, if it begins one.
fn pair_at(path: &Path) -> Option<PairFiles> {
    let name = path.file_name()?.to_str()?;
    if name.starts_with('.') {
        return None;
    }
    let key = path.with_extension("key");
    match path.extension().and_then(|it| it.to_str()) {
        Some("crt") => Some(PairFiles {
            certificate: path.to_owned(),
            key: Some(key),
        }),
        Some("pem") => Some(PairFiles {
            certificate: path.to_owned(),
            key: key.exists().then_some(key),
        }),
        Some(_) | None => {
            let certificate = path.join("fullchain.pem");
            certificate.exists().then(|| PairFiles {
                key: Some(path.join("privkey.pem")),
                certificate,
            })
        }
    }
}

/// In one directory.
pub(crate) const PAIRS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_directory_has_pairs_of_three_kinds_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        assert!(matches!(
            pairs_of(&CertificateSource::Path(directory.path().into())),
            Err(SourceError::Empty)
        ));
        for name in [
            "b.pem", "c.crt", "c.key", "a.pem", "a.key", "README", ".x.pem",
        ] {
            fs::write(at(name), "").unwrap();
        }
        for name in ["live.example.org", "empty"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("live.example.org/fullchain.pem"), "").unwrap();
        let pairs = pairs_of(&CertificateSource::Path(directory.path().into())).unwrap();
        let hoped = [
            ("a.pem", Some("a.key")),
            ("b.pem", None),
            ("c.crt", Some("c.key")),
            (
                "live.example.org/fullchain.pem",
                Some("live.example.org/privkey.pem"),
            ),
        ];
        let hoped = hoped.map(|(certificate, key)| PairFiles {
            certificate: at(certificate),
            key: key.map(at),
        });
        assert_eq!(pairs, hoped);
        assert_eq!(pairs[3].look(), None, "its key is missing");
        assert_eq!(pairs[0].look(), pairs[0].look());
        let before = pairs[0].look();
        fs::write(at("a.key"), "x").unwrap();
        assert_ne!(pairs[0].look(), before);
    }
}
