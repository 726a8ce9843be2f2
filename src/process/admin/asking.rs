//! A line to the supervisor: one question at a time, each with its answer.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::ipc::control::{Request, Response};

/// One end of a line.
#[derive(Debug)]
pub(super) struct Line(BufReader<UnixStream>);

impl Line {
    /// Returns the line that was passed.
    pub(super) fn new(line: OwnedFd) -> io::Result<Self> {
        let stream = StdStream::from(line);
        stream.set_nonblocking(true)?;
        Ok(Self(BufReader::new(UnixStream::from_std(stream)?)))
    }

    /// Asks, and waits for the answer: the supervisor always has one, in time.
    pub(super) async fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        let asked = async {
            self.0.write_all(&text).await?;
            let mut line = Vec::new();
            match self.0.read_until(b'\n', &mut line).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(serde_json::from_slice(&line)?),
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asked).await?
    }
}

/// The line over which changes are asked for.
#[derive(Debug, Default)]
pub(super) struct ChangeLine(RefCell<Option<Rc<Mutex<Line>>>>);

impl ChangeLine {
    /// Changes are asked for there.
    pub(super) fn connect(&self, line: Line) {
        self.0.replace(Some(Rc::new(Mutex::new(line))));
    }

    /// Has something changed.
    pub(super) async fn ask(&self, request: &Request) -> Response {
        let line = self.0.borrow().clone();
        let Some(line) = line else {
            return Response::Error("the daemon is starting".into());
        };
        let asked = line.lock().await.ask(request).await;
        asked
            .unwrap_or_else(|error| Response::Error(format!("the daemon does not answer: {error}")))
    }
}

/// Longer than the supervisor takes for any answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
