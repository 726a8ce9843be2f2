//! The text of a configuration, read and checked; on a thread of its own, because a disk may not
//! answer.
//!
//! Only a regular file is read, and nothing that is longer than a configuration can be: a named
//! pipe or a terminal would keep its reader waiting.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::file::{self, reader};
use super::pages;
use crate::config::{self, Config, check::NodeName};
use crate::process::supervisor::error::SupervisorError;
use crate::process::supervisor::follow::backends_file;
use crate::process::supervisor::scripts;

/// Where a configuration is read from.
#[derive(Debug)]
pub(crate) enum ConfigSource {
    /// A file, opened with the rights of the daemon.
    Path(PathBuf),
    /// A file that an operator has opened.
    Descriptor {
        /// What the operator calls it.
        name: PathBuf,
        file: OwnedFd,
    },
}

/// A configuration that was read and has passed every check.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// What errors of it name.
    pub(crate) name: PathBuf,
    pub(crate) yaml: String,
    pub(crate) config: Config,
}

impl ConfigSource {
    /// Reads and checks it for this machine, or for the node that was named.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong, a program in it cannot be trusted, or a page or
    /// a file with backends of it cannot be read.
    pub(crate) fn check(self, node: Option<&str>) -> Result<Checked, SupervisorError> {
        let (name, file) = match self {
            Self::Path(path) => {
                let file = open_config(&path)?;
                (path, file)
            }
            Self::Descriptor { name, file } => (name, File::from(file)),
        };
        let yaml = read(&name, file)?;
        let mut config = parse(&name, &yaml, node)?;
        pages::read(&mut config)?;
        backends_file::find(&mut config)?;
        Ok(Checked { name, yaml, config })
    }
}

/// Opens a configuration without waiting, whatever it is.
///
/// # Errors
/// When the kernel refuses; for whom is said.
pub fn open_config(path: &Path) -> Result<File, SupervisorError> {
    file::open(path).map_err(|source| SupervisorError::ReadConfig {
        path: path.to_owned(),
        reader: reader(),
        source,
    })
}

/// Returns the checksum of a file; `None` where it cannot be read.
pub(crate) fn checksum_of(path: &Path) -> Option<String> {
    let text = read(path, open_config(path).ok()?).ok()?;
    Some(config::checksum(&text))
}

/// Reads the whole of a regular file.
fn read(name: &Path, mut file: File) -> Result<String, SupervisorError> {
    let failed = |source| SupervisorError::ReadConfig {
        path: name.to_owned(),
        reader: reader(),
        source,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(SupervisorError::NotAFile(name.to_owned()));
    }
    // Wherever who opened it has stopped reading.
    file.rewind().map_err(failed)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    let read = read.map_err(failed)? as u64;
    if read > FILE_BYTES_MAX {
        return Err(SupervisorError::ConfigTooLong(name.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| SupervisorError::NotText(name.to_owned()))
}

/// Checks a text; also whether the programs in it can be trusted.
fn parse(path: &Path, yaml: &str, node: Option<&str>) -> Result<Config, SupervisorError> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy();
    let name = node.map_or(NodeName::HostName(&host), NodeName::Given);
    let config = config::parse(&path.display().to_string(), yaml, name)?;
    for router in &config.virtual_routers {
        for program in &router.notify {
            if let Some(why) = scripts::objection(program) {
                let (entry, program) = (router.name.entry.clone(), program.clone());
                return Err(SupervisorError::Notify {
                    entry,
                    program,
                    why,
                });
            }
        }
    }
    for script in &config.track_scripts {
        if let Some(why) = scripts::objection(&script.program) {
            let (name, program) = (script.name.clone(), script.program.clone());
            return Err(SupervisorError::Script { name, program, why });
        }
    }
    Ok(config)
}

/// A configuration is refused far below; what is longer is not even read.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs::OpenOptions;

    use super::*;
    use crate::model::Chain;

    fn complaint(path: &Path) -> String {
        let error = ConfigSource::Path(path.to_owned()).check(Some("lb1"));
        Chain(&error.unwrap_err()).to_string()
    }

    #[test]
    fn what_is_no_file_to_be_read_is_refused_in_words_and_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("it");
        let missing = complaint(&path);
        assert!(missing.contains("No such file"), "{missing}");
        assert!(complaint(directory.path()).contains("is not a regular file"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(complaint(&path).contains("is not a regular file"));
        std::fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(17 << 20).unwrap();
        assert!(complaint(&path).contains("larger than 16 MiB"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(complaint(&path).contains("not UTF-8"));
        std::fs::write(&path, "listeners: {").unwrap();
        assert!(complaint(&path).contains("while parsing"));
        let mut half_read = File::open(&path).unwrap();
        half_read.read_exact(&mut [0; 4]).unwrap();
        let source = ConfigSource::Descriptor {
            name: path.clone(),
            file: half_read.into(),
        };
        let error = Chain(&source.check(Some("lb1")).unwrap_err()).to_string();
        assert_eq!(error, complaint(&path), "all of it is read");
        let write_only = OpenOptions::new().write(true).open(&path).unwrap();
        let source = ConfigSource::Descriptor {
            name: path,
            file: write_only.into(),
        };
        let error = source.check(Some("lb1")).unwrap_err();
        assert!(Chain(&error).to_string().contains("failed to read"));
    }
}
