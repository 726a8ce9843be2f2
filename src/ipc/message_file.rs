//! The memory file in which a message travels that is too large for a packet.
//!
//! The sender seals it: its size and its content cannot change any more. The receiver takes nothing
//! else, because whatever else a descriptor may be (a pipe, a terminal, a file that grows or on a
//! disk that does not answer) could keep it waiting, and it reads exactly as many bytes as it has
//! been told.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::uio::pread;

/// Why nothing was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no memory for it.
    Short(Errno),
    /// It is not what a sender of ours would send: how.
    Unfit(&'static str),
}

/// Returns a sealed memory file with this content.
///
/// # Errors
/// When the kernel refuses the file, its memory or its seals.
pub fn write(content: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("evenkeel-message", flags)?);
    file.write_all(content)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals()))?;
    Ok(file.into())
}

/// Reads all of a sealed memory file that has at most so many bytes.
///
/// # Errors
/// When it is not such a file, is longer, or there is no memory for it.
pub fn read(file: &OwnedFd, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let stat = fstat(file).map_err(|_| Refusal::Unfit("cannot be looked at"))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Refusal::Unfit("is not a file"));
    }
    let held = fcntl(file, FcntlArg::F_GET_SEALS).map_err(|_| Refusal::Unfit("has no seals"))?;
    if !SealFlag::from_bits_truncate(held).contains(seals()) {
        return Err(Refusal::Unfit("is not sealed"));
    }
    let len = usize::try_from(stat.st_size)
        .ok()
        .filter(|len| *len <= bytes_max)
        .ok_or(Refusal::Unfit("is longer than it may be"))?;
    let mut content = Vec::new();
    content
        .try_reserve_exact(len)
        .map_err(|_| Refusal::Short(Errno::ENOMEM))?;
    content.resize(len, 0);
    let mut read = 0;
    while read < len {
        let offset = i64::try_from(read).map_err(|_| Refusal::Unfit("is too long"))?;
        match pread(file, &mut content[read..], offset) {
            Ok(0) => return Err(Refusal::Unfit("is shorter than it says")),
            Ok(more) => read += more,
            Err(Errno::EINTR) => {}
            Err(errno @ Errno::ENOMEM) => return Err(Refusal::Short(errno)),
            Err(_) => return Err(Refusal::Unfit("cannot be read")),
        }
    }
    Ok(content)
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL
}
