//! A line over which the process `admin` asks: one JSON line asked, one JSON line answered, as over
//! the control socket, again and again.
//!
//! It may ask what it likes of what is shown. What it may change is what operators change by
//! command, where a token is configured; a file of configuration it may not bring.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::ipc::control::{Request, Response};
use crate::process::supervisor::control::socket::{self, Question};
use crate::process::supervisor::error::SupervisorError;

/// What is needed to answer.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) own: PathBuf,
    pub(super) may_change: Arc<AtomicBool>,
}

/// Opens a line, answered by a task until its other end is closed; returns that.
pub(super) fn open(asking: Asking) -> Result<OwnedFd, SupervisorError> {
    let opened = || {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, theirs))
    };
    let (ours, theirs) = opened().map_err(|source| SupervisorError::System {
        what: "open a line",
        source,
    })?;
    tokio::spawn(async move {
        if let Err(error) = answer_all(ours, asking).await {
            tracing::debug!(%error, "line of the admin process failed");
        }
    });
    Ok(theirs.into())
}

async fn answer_all(stream: UnixStream, asking: Asking) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(LINE_BYTES_MAX);
        let len = bounded.read_until(b'\n', &mut line).await?;
        if len == 0 || line.last() != Some(&b'\n') {
            return Ok(());
        }
        let response = match serde_json::from_slice(&line) {
            Ok(request) => asking.answer(request).await,
            Err(error) => Response::Error(format!("not a question: {error}")),
        };
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        writer.write_all(&text).await?;
    }
}

impl Asking {
    async fn answer(&self, request: Request) -> Response {
        let is_allowed = match request {
            Request::Status | Request::Events { .. } => true,
            Request::Backend { .. } | Request::Router { .. } | Request::Maintenance { .. } => {
                self.may_change.load(Ordering::Relaxed)
            }
            // What runs has more in it than the page is to show, and a socket does not come with
            // its questions.
            Request::Reload { .. }
            | Request::Configuration
            | Request::FollowLog
            | Request::Connections(_) => false,
        };
        if !is_allowed {
            return Response::Error("the admin listener may not change this".into());
        }
        socket::ask(request, None, &self.questions, self.own.clone()).await
    }
}

/// The longest question.
const LINE_BYTES_MAX: u64 = 64 * 1024;
