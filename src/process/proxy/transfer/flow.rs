//! One direction of an exchange: a head, then a body, from one socket to the other.
//!
//! Reads into a thread's buffer and writes from it, head and body in one call; the rest of a large
//! body goes through a pipe, and is not copied. Nothing is read while something waits to be
//! written, so that a slow reader slows the writer down and what is held is bounded by one read.
//! Read `exchange` for the two directions together.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use crate::logic::http1::body::{Body, LAST_CHUNK, write_chunk_size};
use crate::logic::http1::chunked::Run;
use crate::logic::http1::head::Framing;
use crate::logic::http1::refusal::BodyError;
use crate::logic::http1::response::BodyCoding;
use crate::process::proxy::io::budget::PARSED;
use crate::process::proxy::io::buffers::{Buffers, Held};
use crate::process::proxy::io::frames::load::Share;
use crate::process::proxy::io::pipes::{Pipe, Pipes};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::memory::LARGE_BYTES;
use crate::process::proxy::transfer::ends::{Ends, Sink, Source};

/// A direction, at any moment of it.
pub(in crate::process::proxy) struct Flow {
    body: Body,
    carry: BodyCoding,
    keeps: Keeps,
    /// Written before anything else; `prefix[..prefix_from]` has been written.
    prefix: Vec<u8>,
    prefix_from: usize,
    /// Bytes that were read and not yet written, or belong to the next message.
    pub(in crate::process::proxy) input: Held,
    /// Bytes of `input` to write next.
    run: usize,
    /// Bytes of `input` after those to drop.
    skip: usize,
    /// Written after the run.
    suffix: &'static [u8],
    /// What a large body goes through, instead of `input`.
    pipe: Option<Pipe>,
    piping: Piping,
    tail: Tail,
    /// Whether the sink has taken what its socket has not.
    unsent: bool,
    /// The size of the next read.
    read_bytes: usize,
    /// The largest size of a read.
    read_bytes_max: usize,
    /// Where many are on a connection.
    share: Option<Share>,
    body_bytes_max: u64,
    written: u64,
    /// Whether some of the body is nobody's any more but the sink's.
    is_begun: bool,
}

/// What becomes of a head that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) enum Keeps {
    /// It is kept, for another attempt and for the log.
    Head,
    /// It is let go.
    Nothing,
}

/// Whether something is to be written behind the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// What the framing has there.
    Due,
    /// Nothing, in HTTP/1.1: the length is stated. Streams of HTTP/2 may have trailers.
    Stated,
    /// Streams of HTTP/2 have trailers, or may; they come and go as those of a last chunk.
    LastChunk,
    Done,
}

/// When a pipe is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piping {
    /// Where enough is left of a body.
    Long,
    /// While more has come than is read at a time: nobody knows what will.
    Full,
    /// Not before that is so.
    NotFull,
}

/// Why a direction has stopped.
#[derive(Debug)]
pub(in crate::process::proxy) enum FlowError {
    /// What came breaks the body's framing, or broke off.
    Body(BodyError),
    /// The source failed.
    Source,
    /// The sink failed.
    Sink,
}

impl Flow {
    /// Returns a direction that has nothing to move yet.
    pub(in crate::process::proxy) fn new(input: Held, keeps: Keeps) -> Self {
        Self {
            body: Body::new(Framing::None, BodyCoding::AsIs),
            carry: BodyCoding::AsIs,
            keeps,
            prefix: Vec::new(),
            prefix_from: 0,
            input,
            run: 0,
            skip: 0,
            suffix: b"",
            pipe: None,
            piping: Piping::Long,
            tail: Tail::Done,
            unsent: false,
            read_bytes: LARGE_BYTES,
            read_bytes_max: LARGE_BYTES,
            share: None,
            body_bytes_max: u64::MAX,
            written: 0,
            is_begun: false,
        }
    }

    /// Says how the body ends and how it is carried.
    pub(in crate::process::proxy) fn frame(&mut self, framing: Framing, carry: BodyCoding) {
        self.body = Body::new(framing, carry);
        self.carry = carry;
        self.tail = match (framing, carry) {
            (Framing::Length(_), BodyCoding::AsIs) => Tail::Stated,
            (Framing::Length(_), BodyCoding::Chunked | BodyCoding::Unchunked)
            | (Framing::None | Framing::Chunked | Framing::UntilClose, _) => Tail::Due,
        };
    }

    /// Bounds what is held for this direction.
    pub(in crate::process::proxy) fn limit_reads(&mut self, bytes: usize) {
        self.read_bytes_max = bytes;
        self.read_bytes = self.read_bytes.min(bytes);
    }

    /// Has no pipe be held while little comes: nobody knows how much will.
    pub(in crate::process::proxy) fn pipe_while_full(&mut self) {
        self.piping = Piping::NotFull;
    }

    /// Has what is held come out of what is left for many.
    pub(in crate::process::proxy) fn share(&mut self, share: Share) {
        self.share = Some(share);
    }

    /// Returns how much of a head may be read at a time.
    pub(in crate::process::proxy) fn head_read_bytes(&self) -> usize {
        self.bounded(self.read_bytes_max)
    }

    fn bounded(&self, bytes: usize) -> usize {
        match &self.share {
            Some(share) => bytes.min(share.read_bytes()),
            None => bytes,
        }
    }

    /// Bounds the content of the body.
    pub(in crate::process::proxy) fn limit_body(&mut self, bytes: u64) {
        self.body_bytes_max = bytes;
    }

    /// Looks at what is in hand of a body before its head is written: what breaks the framing there
    /// can still be answered for. All of it but the first run is looked at twice; mostly there is
    /// none.
    pub(in crate::process::proxy) fn begin(&mut self, buffers: &Buffers) -> Result<(), BodyError> {
        if self.input.is_empty() || self.body.is_ended() {
            return Ok(());
        }
        self.next_run(buffers)?;
        let mut ahead = &self.input.bytes()[self.run + self.skip..];
        if ahead.is_empty() || self.body.is_ended() {
            return Ok(());
        }
        let mut body = self.body.clone();
        while !ahead.is_empty() && !body.is_ended() {
            let run = body.handle_bytes(ahead)?;
            ahead = &ahead[run.pass + run.skip..];
        }
        Ok(())
    }

    /// Returns what a head may be appended to: the bytes that are written next. What has been
    /// written is kept where that is wanted, but for the sizes of chunks.
    pub(in crate::process::proxy) fn prefix(&mut self) -> &mut Vec<u8> {
        let kept = self.keeps == Keeps::Head && self.carry != BodyCoding::Chunked;
        if self.prefix_from == self.prefix.len() && !kept {
            self.prefix.clear();
            self.prefix_from = 0;
        }
        &mut self.prefix
    }

    /// Says what is written before the body.
    pub(in crate::process::proxy) fn set_head(&mut self, head: Vec<u8>) {
        self.prefix = head;
        self.prefix_from = 0;
    }

    /// Returns whether it could begin again: what the sink has had of the body is let go.
    pub(in crate::process::proxy) fn can_rewind(&self) -> bool {
        !self.is_begun
    }

    /// Begins again, where it can.
    pub(in crate::process::proxy) fn rewind(&mut self) {
        self.prefix_from = 0;
        self.written = 0;
    }

    /// Begins again with a body of so many bytes, which comes from somewhere else.
    pub(in crate::process::proxy) fn begin_anew(&mut self, bytes: u64, buffers: &Buffers) {
        self.drop_input(Held::default(), buffers);
        self.is_begun = false;
        self.rewind();
        self.frame(Framing::Length(bytes), BodyCoding::AsIs);
    }

    /// Has other bytes be the next, and what is held of the body not be written.
    pub(in crate::process::proxy) fn drop_input(&mut self, next: Held, buffers: &Buffers) {
        (self.run, self.skip, self.suffix) = (0, 0, b"");
        self.input.clear(buffers);
        self.input = next;
    }

    /// Returns the head, and the trailers where they have been written.
    pub(in crate::process::proxy) fn head(&self) -> &[u8] {
        &self.prefix
    }

    /// Returns the bytes of the body's content that have come.
    pub(in crate::process::proxy) fn content_bytes(&self) -> u64 {
        self.body.content_bytes()
    }

    /// Returns the bytes written since the beginning, or since the last `rewind`.
    pub(in crate::process::proxy) fn written(&self) -> u64 {
        self.written
    }

    /// Returns whether the head has been written and nothing of a body that must come.
    pub(in crate::process::proxy) fn awaits_body(&self) -> bool {
        self.prefix_from == self.prefix.len() && self.input.is_empty() && !self.body.is_ended()
    }

    /// Returns whether all of the body has come.
    pub(in crate::process::proxy) fn has_body(&self) -> bool {
        self.body.is_ended()
    }

    /// Returns whether something waits for the sink.
    pub(in crate::process::proxy) fn awaits_sink(&self) -> bool {
        self.prefix_from < self.prefix.len()
            || self.run > 0
            || !self.suffix.is_empty()
            || self.is_piping()
            || self.unsent
    }

    fn is_piping(&self) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0)
    }

    /// Gives the buffers back; what is left of the input is returned.
    #[inline]
    pub(in crate::process::proxy) fn end(&mut self, buffers: &Buffers, pipes: &Pipes) -> Held {
        if let Some(pipe) = self.pipe.take() {
            pipes.give_back(pipe);
        }
        buffers.give_back(std::mem::take(&mut self.prefix));
        self.prefix_from = 0;
        std::mem::take(&mut self.input)
    }

    /// Holds no more than must be, before a wait of unknown length.
    pub(in crate::process::proxy) fn settle(&mut self, buffers: &Buffers) {
        self.hold(buffers);
        if self.keeps == Keeps::Nothing && self.prefix_from == self.prefix.len() {
            buffers.give_back(std::mem::take(&mut self.prefix));
            self.prefix_from = 0;
        }
    }

    /// Holds no more than what has come.
    pub(in crate::process::proxy) fn hold(&mut self, buffers: &Buffers) {
        self.input.shrink(buffers);
        if let Some(share) = &mut self.share {
            share.note(self.input.len());
        }
    }

    /// Moves what can be moved; ready when the message has been written to its end.
    pub(in crate::process::proxy) fn poll<S: Source, T: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<Result<(), FlowError>> {
        loop {
            ready!(ends.budget.poll());
            if self.run == 0 && !self.input.is_empty() && !self.body.is_ended() {
                if self.body.plain_bytes() == 0 {
                    ends.budget.charge(self.input.len() * PARSED);
                }
                self.next_run(ends.buffers).map_err(FlowError::Body)?;
            }
            self.look_for_trailers(ends);
            if self.awaits_sink() {
                ready!(self.poll_write(cx, ends)).map_err(|_| FlowError::Sink)?;
            } else if self.body.is_ended() {
                if self.tail == Tail::Done {
                    return Poll::Ready(Ok(()));
                }
                self.tail = Tail::Done;
                if !self.body.tail().is_empty() {
                    self.prefix();
                    let tail = self.body.tail();
                    ends.buffers.reserve(&mut self.prefix, tail.len());
                    self.prefix.extend_from_slice(tail);
                }
            } else if self.input.is_empty() {
                match self.poll_read(cx, ends) {
                    Poll::Ready(read) => read?,
                    Poll::Pending => {
                        self.settle(ends.buffers);
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Goes on behind a body with a stated length that has ended where trailers can follow, which
    /// must be known before its last byte is written.
    fn look_for_trailers<S: Source, T: Sink>(&mut self, ends: &mut Ends<'_, S, T>) {
        match self.tail {
            Tail::Stated if self.body.is_ended() => {}
            // Another attempt has another sink.
            Tail::LastChunk => {}
            Tail::Due | Tail::Stated | Tail::Done => return,
        }
        let sink = ends.sink.stream().and_then(Stream::frames_mut);
        let (Some(source), Some(sink)) = (ends.source.frames(), sink) else {
            return;
        };
        if self.tail == Tail::Stated && source.begin_last_chunk() {
            self.tail = Tail::LastChunk;
            self.body.await_last_chunk(self.carry);
        }
        if self.tail == Tail::LastChunk {
            sink.await_last_chunk();
        }
    }

    /// Writes what is due at once, whatever it is; ready when nothing is.
    pub(in crate::process::proxy) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_>,
    ) -> Poll<io::Result<()>> {
        while self.awaits_sink() {
            ready!(ends.budget.poll());
            ready!(self.poll_write(cx, ends))?;
        }
        Poll::Ready(Ok(()))
    }

    fn next_run(&mut self, buffers: &Buffers) -> Result<(), BodyError> {
        let first = self.body.handle_bytes(self.input.bytes())?;
        let run = self.gather(first);
        self.check_size()?;
        if run.pass == 0 {
            self.input.consume(run.skip, buffers);
            return Ok(());
        }
        self.run = run.pass;
        self.skip = run.skip;
        if self.carry == BodyCoding::Chunked {
            self.prefix();
            write_chunk_size(&mut self.prefix, run.pass);
            self.suffix = b"\r\n";
        }
        Ok(())
    }

    /// Moves the runs behind the first one up to it, over what is skipped between them, so that all
    /// are written at once: a chunk may be a byte. What breaks the framing is left for the next
    /// run.
    fn gather(&mut self, first: Run) -> Run {
        let (mut pass, mut at) = (first.pass, first.pass + first.skip);
        if first.skip == 0 {
            return first;
        }
        let bytes = self.input.bytes_mut();
        while at < bytes.len() && !self.body.is_ended() {
            let mut body = self.body.clone();
            let Ok(run) = body.handle_bytes(&bytes[at..]) else {
                break;
            };
            self.body = body;
            bytes.copy_within(at..at + run.pass, pass);
            pass += run.pass;
            at += run.pass + run.skip;
        }
        Run {
            pass,
            skip: at - pass,
        }
    }

    fn poll_write<S: Source, T: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<io::Result<()>> {
        let piping = self.pipe.as_mut().filter(|pipe| pipe.held() > 0);
        let unsent = self.unsent;
        let poll = match (piping, ends.sink.stream()) {
            (Some(pipe), Some(sink)) => pipe.poll_drain(cx, sink),
            (None, Some(sink)) if unsent => sink.poll_send(cx),
            (None | Some(_), _) => self.poll_write_input(cx, ends),
        };
        match poll {
            Poll::Ready(Ok(written)) => {
                ends.deadline.touch();
                ends.budget.charge(written);
                self.unsent = ends.sink.stream().is_some_and(|sink| sink.has_unsent());
                if !unsent {
                    self.advance(written, ends.buffers);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                // A reader this slow gets less at a time, so that less is held for it.
                self.read_bytes = (self.read_bytes / 4).max(READ_BYTES_MIN);
                self.settle(ends.buffers);
                Poll::Pending
            }
        }
    }

    fn poll_write_input<S: Source, T: Sink>(
        &self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<io::Result<usize>> {
        let slices = [
            IoSlice::new(&self.prefix[self.prefix_from..]),
            IoSlice::new(&self.input.bytes()[..self.run]),
            IoSlice::new(self.suffix),
        ];
        let first = slices.iter().position(|slice| !slice.is_empty());
        let last = slices.iter().rposition(|slice| !slice.is_empty());
        let (Some(first), Some(last)) = (first, last) else {
            return Poll::Ready(Ok(0));
        };
        ends.sink.poll_write(cx, &slices[first..=last])
    }

    #[inline]
    fn advance(&mut self, mut written: usize, buffers: &Buffers) {
        self.written += written as u64;
        let of_prefix = written.min(self.prefix.len() - self.prefix_from);
        self.prefix_from += of_prefix;
        written -= of_prefix;
        if written > 0 {
            self.is_begun = true;
            self.read_bytes = (self.read_bytes * 2).min(self.read_bytes_max);
        }
        let of_run = written.min(self.run);
        if of_run > 0 {
            self.run -= of_run;
            let skip = match self.run {
                0 => std::mem::take(&mut self.skip),
                _ => 0,
            };
            self.input.consume(of_run + skip, buffers);
        }
        written -= of_run;
        let of_suffix = written.min(self.suffix.len());
        self.suffix = &self.suffix[of_suffix..];
    }

    /// Takes a pipe where the rest of the body is worth it and is handed on as it comes.
    fn poll_read<S: Source, T: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<Result<(), FlowError>> {
        let plain_bytes = self.body.plain_bytes();
        if self.piping == Piping::NotFull
            && let Some(pipe) = self.pipe.take()
        {
            ends.pipes.give_back(pipe);
        }
        if self.pipe.is_none()
            && self.piping != Piping::NotFull
            && self.carry == BodyCoding::AsIs
            && self.read_bytes_max >= PIPED_BYTES_MIN
            && plain_bytes >= PIPED_BYTES_MIN as u64
            && ends.source.plain().is_some()
            && ends.sink.stream().is_some_and(|sink| sink.is_plain())
        {
            self.pipe = ends.pipes.take();
        }
        let (Some(pipe), Some(source)) = (&mut self.pipe, ends.source.plain()) else {
            return self.poll_read_input(cx, ends);
        };
        let len = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
        let filled = pipe.poll_fill(cx, source, len.min(self.read_bytes));
        if self.piping == Piping::Full && !matches!(filled, Poll::Ready(Ok(READ_BYTES_MIN..))) {
            self.piping = Piping::NotFull;
            if pipe.held() == 0
                && let Some(pipe) = self.pipe.take()
            {
                ends.pipes.give_back(pipe);
            }
        }
        let filled = ready!(filled).map_err(|_| FlowError::Source)?;
        if filled == 0 {
            self.body.handle_end().map_err(FlowError::Body)?;
            return Poll::Ready(Ok(()));
        }
        ends.deadline.touch();
        ends.budget.charge(filled);
        self.body.handle_plain(filled as u64);
        self.check_size().map_err(FlowError::Body).into()
    }

    fn check_size(&self) -> Result<(), BodyError> {
        if self.body.content_bytes() > self.body_bytes_max {
            return Err(BodyError::TooLong);
        }
        Ok(())
    }

    fn poll_read_input<S: Source, T: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, S, T>,
    ) -> Poll<Result<(), FlowError>> {
        let mut buffer = ends.buffers.large();
        let room = self.bounded(self.read_bytes);
        let read = ends.source.poll_read(cx, &mut buffer[..room]);
        match read {
            Poll::Ready(Ok(len @ 1..)) => {
                ends.deadline.touch();
                ends.budget.charge(len);
                self.input = Held::new(buffer, len);
                if self.piping != Piping::Long {
                    self.piping = match len == room && len >= PIPED_BYTES_MIN {
                        true => Piping::Full,
                        false => Piping::NotFull,
                    };
                }
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) | Poll::Pending => {
                ends.buffers.give_back(buffer);
            }
        }
        let Poll::Ready(Ok(_)) = read else {
            return read.map(|_| Err(FlowError::Source));
        };
        self.body.handle_end().map_err(FlowError::Body)?;
        if self.carry == BodyCoding::Chunked {
            self.prefix();
            self.prefix.extend_from_slice(LAST_CHUNK);
        }
        Poll::Ready(Ok(()))
    }
}

/// What is left of a body that is worth a pipe.
const PIPED_BYTES_MIN: usize = 64 * 1024;
/// The least that is read at a time, for the slowest.
const READ_BYTES_MIN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a chunked body of these bytes would be written as, and in how many runs.
    fn written(bytes: &[u8]) -> (Vec<u8>, usize) {
        let buffers = Buffers::default();
        let mut flow = Flow::new(Held::new(bytes.to_vec(), bytes.len()), Keeps::Head);
        flow.frame(Framing::Chunked, BodyCoding::AsIs);
        let (mut out, mut runs) = (Vec::new(), 0);
        while !flow.input.is_empty() && flow.next_run(&buffers).is_ok() {
            out.extend_from_slice(&flow.input.bytes()[..flow.run]);
            runs += 1;
            flow.advance(flow.run, &buffers);
        }
        (out, runs)
    }

    #[test]
    fn chunks_with_extensions_are_written_at_once() {
        let many = "1;e=1\r\na\r\n".repeat(1000);
        assert_eq!(
            written(format!("{many}0\r\n\r\n").as_bytes()),
            (
                format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(1000)).into_bytes(),
                1
            )
        );
    }

    #[test]
    fn what_precedes_a_malformed_chunk_is_written_and_nothing_behind_it() {
        let (out, _) = written(b"1;e\r\na\r\n2;e\r\nbc\r\nx\r\nd");
        assert_eq!(out, b"1\r\na\r\n2");
    }
}
