//! Files that the supervisor has opened: read and taken in on a thread of its own, because a disk
//! may be slow and a handshake must not wait for it.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::keyring::Keyring;
use super::pair;
use crate::ipc::channel::{Channel, Received};
use crate::ipc::message::{PairAsked, PairRead};
use crate::model::Chain;

/// Answers what comes over the line until it ends.
pub(super) fn serve(line: OwnedFd, keyring: Arc<Keyring>) {
    let channel = Channel::new(line);
    loop {
        let mut ready = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::NONE).is_err_and(|errno| errno != nix::errno::Errno::EINTR)
        {
            return;
        }
        let (asked, descriptors) = match channel.receive::<PairAsked>() {
            Ok(Received::Message(asked, descriptors)) => (asked, descriptors),
            Ok(Received::Empty) => continue,
            Err(error) if error.is_shortage() => continue,
            Ok(Received::Closed) | Err(_) => return,
        };
        let PairAsked { id, path } = asked;
        let answer = PairRead {
            id,
            chain: take_in(&path, descriptors, &keyring),
        };
        // Who asks waits for no other, and has a deadline.
        if channel.send(&answer, &[]).is_err() {
            return;
        }
    }
}

/// Reads a pair and keeps its key; what is wrong with it is for people.
fn take_in(
    path: &Path,
    descriptors: Vec<OwnedFd>,
    keyring: &Keyring,
) -> Result<crate::config::CertificateChain, String> {
    let mut files = descriptors.into_iter().map(File::from);
    let certificate = files.next().ok_or("no file came with it")?;
    let pair = pair_of(path, &certificate, files.next().as_ref())?;
    keyring.insert(pair.chain.key, pair.key, Instant::now());
    Ok(pair.chain)
}

/// Reads a pair from its files; what is wrong with it is for people.
pub(crate) fn pair_of(
    path: &Path,
    certificate: &File,
    key: Option<&File>,
) -> Result<pair::Pair, String> {
    let certificate = read(certificate)?;
    let pair = match key {
        None => pair::read(path, &certificate, &certificate),
        Some(key) => pair::read(path, &certificate, &read(key)?),
    };
    pair.map_err(|error| format!("{}\nhelp: {}", Chain(&error), error.help()))
}

/// Reads a whole file from its beginning.
pub(super) fn read(mut file: &File) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Ok(len) if len as u64 > FILE_BYTES_MAX => {
            Err(format!("it is larger than {} KiB", FILE_BYTES_MAX >> 10))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

/// No certificate with its chain and its key is as long.
const FILE_BYTES_MAX: u64 = 1 << 20;
