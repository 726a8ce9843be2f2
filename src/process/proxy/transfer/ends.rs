//! Where a direction comes from and where it goes: a connection or a stream, or the body of a
//! request that is kept.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::process::proxy::io::budget::Budget;
use crate::process::proxy::io::buffers::Buffers;
use crate::process::proxy::io::deadline::Deadline;
use crate::process::proxy::io::frames::Frames;
use crate::process::proxy::io::pipes::Pipes;
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::spool::body::Body;

/// The two ends and what moving bytes needs.
pub(in crate::process::proxy) struct Ends<'a, S = Stream, T = Stream> {
    pub(in crate::process::proxy) source: &'a mut S,
    pub(in crate::process::proxy) sink: &'a mut T,
    pub(in crate::process::proxy) buffers: &'a Buffers,
    pub(in crate::process::proxy) pipes: &'a Pipes,
    pub(in crate::process::proxy) deadline: &'a Deadline,
    pub(in crate::process::proxy) budget: &'a Budget,
}

/// What can be read from.
pub(in crate::process::proxy) trait Source {
    /// Reads once; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Returns what a pipe can be filled from.
    fn plain(&mut self) -> Option<&mut Stream>;

    /// Returns what may have trailers behind a body whose length is stated.
    fn frames(&mut self) -> Option<&mut Frames>;
}

/// What can be written to.
pub(in crate::process::proxy) trait Sink {
    /// Writes at least a byte.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Returns what has taken bytes, and may not have sent them.
    fn stream(&mut self) -> Option<&mut Stream>;
}

impl Source for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, into)
    }

    fn plain(&mut self) -> Option<&mut Stream> {
        Some(self).filter(|stream| stream.is_plain())
    }

    fn frames(&mut self) -> Option<&mut Frames> {
        self.frames_mut()
    }
}

impl Sink for Stream {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, slices)
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        Some(self)
    }
}

impl Source for Body {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, into)
    }

    fn plain(&mut self) -> Option<&mut Stream> {
        None
    }

    fn frames(&mut self) -> Option<&mut Frames> {
        None
    }
}

impl Sink for Body {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, slices)
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        None
    }
}
