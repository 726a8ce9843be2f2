//! A process that may have no more descriptors, on both ends of a channel.
//!
//! One test in a process of its own: the limit that it sets is the whole process's.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs::File;
use std::os::fd::AsFd;

use evenkeel::ipc::channel::{Channel, ChannelError, Received, Sent, pair};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Opens files until there is no room for another.
fn use_up() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn shortage_of_descriptors_loses_a_message_at_most_and_never_the_channel() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let (ours, theirs) = pair().unwrap();
    let (ours, theirs) = (Channel::new(ours), Channel::new(theirs));
    let large = "x".repeat(100_000);
    let lent = File::open("/dev/null").unwrap();
    let others = use_up();

    // The reserve is enough for a message file, on either end.
    assert_eq!(ours.send(&large, &[]).unwrap(), Sent::Queued);
    let got = theirs.receive::<String>().unwrap();
    assert!(matches!(got, Received::Message(text, _) if text == large));

    // A limit below what is in use: not even the reserve helps. Nothing is sent, and what is small
    // goes on.
    setrlimit(Resource::RLIMIT_NOFILE, 4, hard).unwrap();
    let sent = ours.send(&large, &[]).unwrap();
    assert!(matches!(sent, Sent::Short(_)), "{sent:?}");
    assert_eq!(ours.send(&"small", &[]).unwrap(), Sent::Queued);
    let got = theirs.receive::<String>().unwrap();
    assert!(matches!(got, Received::Message(text, _) if text == "small"));

    // What is lent arrives without what there is no room for.
    let three = [lent.as_fd(), lent.as_fd(), lent.as_fd()];
    assert_eq!(ours.send(&"lent", &three).unwrap(), Sent::Queued);
    let Received::Message(text, descriptors) = theirs.receive::<String>().unwrap() else {
        panic!("the message arrives without its descriptors");
    };
    assert_eq!(text, "lent");
    assert!(descriptors.len() < 3, "{descriptors:?}");

    // What is in a file that there is no room for is lost, and only that.
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    drop((descriptors, others));
    assert_eq!(ours.send(&large, &[]).unwrap(), Sent::Queued);
    assert_eq!(ours.send(&"next", &[]).unwrap(), Sent::Queued);
    setrlimit(Resource::RLIMIT_NOFILE, 4, hard).unwrap();
    let lost = theirs.receive::<String>();
    assert!(matches!(lost, Err(ChannelError::Lost(_))), "{lost:?}");
    let got = theirs.receive::<String>().unwrap();
    assert!(matches!(got, Received::Message(text, _) if text == "next"));

    // All is well again.
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    assert_eq!(ours.send(&large, &three).unwrap(), Sent::Queued);
    let got = theirs.receive::<String>().unwrap();
    assert!(matches!(got, Received::Message(text, fds) if text == large && fds.len() == 3));
}
