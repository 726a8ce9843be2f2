//! A file of the runtime directory that the daemon keeps for the one after it.
//!
//! Whole or not at all: it is written beside and put in the place of the one before. What lies
//! there may be anything: nothing is waited for, no link is followed, and no more is read than a
//! bound.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Returns what is kept; the default where nothing is.
///
/// # Errors
/// When it cannot be read, or is none of what is kept there.
pub(super) fn read<T: DeserializeOwned + Default>(path: &Path, bytes_max: u64) -> io::Result<T> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(bytes_max).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Keeps this.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, kept: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(kept)?;
    let fresh = path.with_extension("new");
    // What lies there is of nobody, and may be anything: it is not written to.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::create_new(&fresh)?.write_all(&text)?;
    fs::rename(&fresh, path)
}
