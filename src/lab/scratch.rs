//! Directories that vanish with their holder.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::LabError;

/// A private directory below the system's directory for temporary files; removed on drop, with all
/// in it.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Makes a directory whose name holds the process id and a counter.
    ///
    /// Left-overs of an earlier process with the same id are passed over, never used.
    ///
    /// # Errors
    /// When the directory of temporary files refuses it.
    pub fn new() -> Result<Self, LabError> {
        // A thread that panicked here left it whole.
        let has_ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_ended {
            let error = std::io::Error::from(std::io::ErrorKind::Interrupted);
            return Err(LabError::system("make a directory: everything ends")(error));
        }
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("{}{serial}", prefix()));
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(LabError::system(format!("make {}", path.display()))(error));
                }
            }
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's cleaning of temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes every directory of this process, for an end without destructors; from then on there is
/// no other.
pub fn remove_all() {
    let mut has_ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    *has_ended = true;
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    let prefix = prefix();
    let own = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    for entry in own {
        // Who still writes into it must not find it while it is being emptied. The rest as on drop.
        let gone = entry.path().with_extension("gone");
        let path = fs::rename(entry.path(), &gone).map_or_else(|_| entry.path(), |()| gone);
        let _ = fs::remove_dir_all(path);
    }
}

/// What the names of this process's directories begin with.
fn prefix() -> String {
    format!("evenkeel-lab-{}-", std::process::id())
}

static SERIAL: AtomicU64 = AtomicU64::new(0);
/// Held while a directory is made.
static ENDED: Mutex<bool> = Mutex::new(false);
