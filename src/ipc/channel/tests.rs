//! Messages that arrive, messages that are none, and what is short.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs::File;
use std::io::{Read, Seek, Write};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::*;

#[test]
fn message_arrives_whole_with_its_descriptors() {
    let (ours, theirs) = pair().unwrap();
    let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
    let file = plain_file(b"lent", SealFlag::empty());
    assert_eq!(ours.send(&"hello", &[file.as_fd()]).unwrap(), Sent::Queued);
    let Received::Message(text, descriptors) = theirs.receive::<String>().unwrap() else {
        panic!("nothing arrived");
    };
    assert_eq!(text, "hello");
    let mut file = File::from(descriptors.into_iter().next().unwrap());
    file.rewind().unwrap();
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "lent", "the descriptor is the one that was sent");
}

#[test]
fn large_message_travels_in_a_file() {
    let (ours, theirs) = pair().unwrap();
    let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
    let text = "x".repeat(3 * 1024 * 1024);
    assert_eq!(ours.send(&text, &[]).unwrap(), Sent::Queued);
    let Received::Message(got, descriptors) = theirs.receive::<String>().unwrap() else {
        panic!("nothing arrived");
    };
    assert_eq!(got.len(), text.len());
    assert!(
        descriptors.is_empty(),
        "the file of the message is not one of its descriptors"
    );
}

#[test]
fn full_channel_says_so_and_loses_nothing() {
    let (ours, theirs) = pair().unwrap();
    let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
    let text = "x".repeat(10_000);
    let mut sent = 0;
    while ours.send(&text, &[]).unwrap() == Sent::Queued {
        sent += 1;
        assert!(sent < 10_000, "the queue has a bound");
    }
    let mut got = 0;
    while let Received::Message(message, _) = theirs.receive::<String>().unwrap() {
        assert_eq!(message.len(), text.len());
        got += 1;
    }
    assert_eq!(got, sent);
}

#[test]
fn last_words_are_heard_of_a_process_that_has_not_read_all() {
    let (ours, theirs) = pair().unwrap();
    let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
    ours.send(&1_u8, &[]).unwrap();
    theirs.send(&2_u8, &[]).unwrap();
    drop(ours);
    let heard = theirs.receive::<u8>().unwrap();
    assert!(matches!(heard, Received::Message(1, _)), "{heard:?}");
    assert!(matches!(theirs.receive::<u8>().unwrap(), Received::Closed));
}

#[test]
fn end_of_the_other_process_is_seen_after_its_last_message() {
    let (ours, theirs) = pair().unwrap();
    let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
    ours.send(&1_u8, &[]).unwrap();
    drop(ours);
    assert!(matches!(
        theirs.receive::<u8>().unwrap(),
        Received::Message(1, _)
    ));
    assert!(matches!(theirs.receive::<u8>().unwrap(), Received::Closed));
    assert_eq!(theirs.send(&1_u8, &[]).unwrap(), Sent::Closed);
}

#[test]
fn nonsense_is_an_error_not_a_panic() {
    let (ours, theirs) = pair().unwrap();
    let theirs = Channel::new(theirs);
    assert_eq!(
        send_frame(ours.as_fd(), &[&[PLAIN], b"{"], &[]).unwrap(),
        Sent::Queued
    );
    assert!(matches!(
        theirs.receive::<u8>(),
        Err(ChannelError::Malformed(_))
    ));
    assert_eq!(
        send_frame(ours.as_fd(), &[&[IN_FILE]], &[]).unwrap(),
        Sent::Queued
    );
    assert!(matches!(
        theirs.receive::<u8>(),
        Err(ChannelError::Malformed(_))
    ));
}

/// Returns a memory file with this content and these seals.
fn plain_file(content: &[u8], seals: SealFlag) -> File {
    let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let mut file = File::from(fd);
    file.write_all(content).unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file
}

/// Returns what a receiver with these bounds makes of one frame.
fn made_of(
    parts: &[&[u8]],
    descriptors: &[BorrowedFd<'_>],
    bounds: Bounds,
) -> Result<Received<String>, ChannelError> {
    let (ours, theirs) = pair().unwrap();
    let theirs = Channel::bounded(theirs, bounds);
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    assert_eq!(send_frame(ours.as_fd(), parts, &raw).unwrap(), Sent::Queued);
    theirs.receive::<String>()
}

const BOUNDS: Bounds = Bounds {
    file_bytes: 1_000,
    descriptors: 0,
};

#[test]
fn message_file_that_is_no_sealed_memory_file_is_refused_without_waiting() {
    let (pipe, _write_end) = nix::unistd::pipe().unwrap();
    let (socket, _other) = pair().unwrap();
    let directory = File::open("/").unwrap();
    let device = File::open("/dev/zero").unwrap();
    let mut on_disk = tempfile::tempfile().unwrap();
    on_disk.write_all(b"\"x\"").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = File::options().read(true).write(true).open(fifo).unwrap();
    let all = SealFlag::all() & !SealFlag::F_SEAL_FUTURE_WRITE;
    let unsealed = plain_file(b"\"x\"", SealFlag::empty());
    let growing = plain_file(b"\"x\"", all & !SealFlag::F_SEAL_GROW);
    let shrinking = plain_file(b"\"x\"", all & !SealFlag::F_SEAL_SHRINK);
    let writable = plain_file(b"\"x\"", all & !SealFlag::F_SEAL_WRITE);
    let huge = plain_file(format!("\"{}\"", "x".repeat(1_000)).as_bytes(), all);
    let empty = plain_file(b"", all);
    for (what, descriptor) in [
        ("pipe", pipe.as_fd()),
        ("socket", socket.as_fd()),
        ("directory", directory.as_fd()),
        ("device", device.as_fd()),
        ("fifo", fifo.as_fd()),
        ("file on disk", on_disk.as_fd()),
        ("unsealed", unsealed.as_fd()),
        ("growing", growing.as_fd()),
        ("shrinking", shrinking.as_fd()),
        ("writable", writable.as_fd()),
        ("huge", huge.as_fd()),
        ("empty", empty.as_fd()),
    ] {
        let made = made_of(&[&[IN_FILE]], &[descriptor], BOUNDS);
        assert!(
            matches!(made, Err(ChannelError::Malformed(_))),
            "{what}: {made:?}"
        );
    }
    let sound = plain_file(b"\"x\"", all);
    let made = made_of(&[&[IN_FILE]], &[sound.as_fd()], BOUNDS);
    assert!(matches!(made, Ok(Received::Message(text, _)) if text == "x"));
}

#[test]
fn descriptors_that_may_not_come_make_a_message_malformed_and_are_closed() {
    let file = plain_file(b"", SealFlag::empty());
    let fds = [file.as_fd(), file.as_fd(), file.as_fd()];
    let two = Bounds {
        descriptors: 2,
        ..BOUNDS
    };
    for (what, kind, bounds) in [
        ("a plain message brings none", PLAIN, two),
        ("nothing may be lent", LENDING, BOUNDS),
        ("three are more than two", LENDING, two),
        ("a kind that is not known", 7, two),
    ] {
        let made = made_of(&[&[kind], b"\"x\""], &fds, bounds);
        assert!(
            matches!(made, Err(ChannelError::Malformed(_))),
            "{what}: {made:?}"
        );
    }
    let made = made_of(&[&[LENDING], b"\"x\""], &fds[..2], two);
    assert!(matches!(made, Ok(Received::Message(_, fds)) if fds.len() == 2));
}

#[test]
fn message_that_is_deep_or_too_long_for_a_packet_is_refused() {
    let deep = "[".repeat(10_000);
    let made = made_of(&[&[PLAIN], deep.as_bytes()], &[], BOUNDS);
    assert!(matches!(made, Err(ChannelError::Malformed(_))), "{made:?}");
    let long = format!("\"{}\"", "x".repeat(INLINE_BYTES_MAX));
    let made = made_of(&[&[PLAIN], long.as_bytes()], &[], BOUNDS);
    assert!(matches!(made, Err(ChannelError::Malformed(_))), "{made:?}");
}
