//! The control socket: one JSON line asked, one JSON line answered, for root and for the daemon's
//! own user.
//!
//! A task a connection, at most [`CONNECTIONS_MAX`] of them; each hands its question to the loop
//! and waits for the answer with a deadline.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::ipc::control::{Request, Response};

/// A question, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Question {
    /// What was asked.
    pub request: Request,
    /// The task that waits.
    pub reply: oneshot::Sender<Response>,
}

/// Listens on the socket at `path`, in permit of one that a former daemon left.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers connections for ever; an error is told to the log and the next one is awaited.
pub(crate) async fn serve(listener: UnixListener, questions: mpsc::Sender<Question>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut quiet_until = None;
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let questions = questions.clone();
                tokio::spawn(async move {
                    if let Ok(Err(error)) =
                        tokio::time::timeout(ANSWER_TIMEOUT, answer(stream, questions)).await
                    {
                        tracing::debug!(%error, "control connection failed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                let now = Instant::now();
                if quiet_until.is_none_or(|until| until <= now) {
                    tracing::warn!(%error, "failed to accept on the control socket");
                    quiet_until = Some(now + LOG_INTERVAL);
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, questions: mpsc::Sender<Question>) -> io::Result<()> {
    let allowed = may_ask(stream.peer_cred()?.uid());
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(LINE_BYTES_MAX));
    // Who connects and says nothing keeps a permit from others.
    tokio::time::timeout(QUESTION_TIMEOUT, reader.read_until(b'\n', &mut line)).await??;
    let response = match serde_json::from_slice(&line) {
        Ok(_) if !allowed => Response::Error("only root and the daemon's own user may ask".into()),
        Ok(request) => ask(request, &questions).await,
        Err(error) => Response::Error(format!("not a question: {error}")),
    };
    let mut text = serde_json::to_vec(&response)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    writer.shutdown().await
}

async fn ask(request: Request, questions: &mpsc::Sender<Question>) -> Response {
    let (reply, answer) = oneshot::channel();
    let sent = questions.send(Question { request, reply }).await;
    match (sent, answer.await) {
        (Ok(()), Ok(response)) => response,
        (Ok(()) | Err(_), _) => Response::Error("the daemon is stopping".into()),
    }
}

fn may_ask(uid: u32) -> bool {
    uid == 0 || uid == Uid::effective().as_raw()
}

/// Operators at a time; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 64;
/// The longest question.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// From the accept to the last byte of the question.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two lines about accepts that fail.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// From the accept to the last byte of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// After an accept that failed, so that a lack of descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
