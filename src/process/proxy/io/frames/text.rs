//! What texts of HTTP/1.1 and frames of HTTP/2 have in common: where a head ends, and errors.

use std::io;

/// What is written of a head before its end has come.
#[derive(Default)]
pub(super) struct HeadText(Vec<u8>);

impl HeadText {
    /// Takes bytes up to the end of the head; returns how many, and the head where it is whole.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<Vec<u8>>) {
        let before = self.0.len();
        self.0.extend_from_slice(bytes);
        let from = before.saturating_sub(HEAD_END.len() - 1);
        let found = self.0[from..]
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END);
        match found {
            Some(at) => {
                let end = from + at + HEAD_END.len();
                self.0.truncate(end);
                (end - before, Some(std::mem::take(&mut self.0)))
            }
            None => (bytes.len(), None),
        }
    }
}

/// Returns an error of HTTP/2 as one of a connection.
pub(super) fn broken(error: h2::Error) -> io::Error {
    io::Error::other(error)
}

const HEAD_END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_wherever_what_is_written_is_cut() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody";
        for len in 1..bytes.len() {
            let mut text = HeadText::default();
            let (mut at, mut found) = (0, None);
            while found.is_none() {
                let (taken, head) = text.take(&bytes[at..(at + len).min(bytes.len())]);
                at += taken;
                found = head;
            }
            assert_eq!(found.as_deref(), Some(&bytes[..24]), "{len}");
            assert_eq!(&bytes[at..], b"body", "{len}");
        }
    }
}
