//! What texts of HTTP/1.1 and frames of HTTP/2 have in common: where a head ends, and errors.

use std::borrow::Cow;
use std::io;

/// What is written of a head before its end has come.
#[derive(Default)]
pub(super) struct HeadText(Vec<u8>);

impl HeadText {
    /// Takes bytes up to the end of the head, or all that end as one does; returns how many, and
    /// what begins with the head where it is whole.
    pub(super) fn take<'b>(&mut self, bytes: &'b [u8]) -> (usize, Option<Cow<'b, [u8]>>) {
        if self.0.is_empty() && bytes.ends_with(HEAD_END) {
            return (bytes.len(), Some(Cow::Borrowed(bytes)));
        }
        let before = self.0.len();
        self.0.extend_from_slice(bytes);
        let from = before.saturating_sub(HEAD_END.len() - 1);
        match end_of(&self.0[from..]) {
            Some(end) => {
                let end = from + end;
                self.0.truncate(end);
                let head = std::mem::take(&mut self.0);
                (end - before, Some(Cow::Owned(head)))
            }
            None => (bytes.len(), None),
        }
    }
}

/// Returns where the first head ends.
fn end_of(bytes: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(HEAD_END.len());
    let at = windows.position(|window| window == HEAD_END)?;
    Some(at + HEAD_END.len())
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
