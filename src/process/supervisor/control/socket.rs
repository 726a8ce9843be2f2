//! The control socket: one JSON line asked, one JSON line answered, for root, the daemon's own user
//! and the group of the socket: the kernel lets nobody else connect.
//!
//! A task a connection, at most [`CONNECTIONS_MAX`] of them; each hands its question to the loop
//! and waits for the answer with a deadline.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config;
use crate::ipc::channel;
use crate::ipc::control::{Request, Response, ShownConfiguration};
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::reload::source;

/// A question, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Question {
    /// What was asked.
    pub request: Request,
    /// A file that came with it.
    pub file: Option<OwnedFd>,
    /// The task that waits.
    pub reply: oneshot::Sender<Response>,
}

/// Listens on the socket at `path`, in permit of one that a former daemon left.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Who may connect may ask, and the kernel looks at the mode: it is there under its name only
    // when it has the right one.
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Answers connections for ever; an error is told to the log and the next one is awaited. `own` is
/// the file that the daemon was started with.
pub(crate) async fn serve(listener: UnixListener, questions: mpsc::Sender<Question>, own: PathBuf) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut quiet_until = None;
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (questions, own) = (questions.clone(), own.clone());
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, questions, own).await {
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

async fn answer(
    stream: UnixStream,
    questions: mpsc::Sender<Question>,
    own: PathBuf,
) -> io::Result<()> {
    // Who connects and says nothing keeps a permit from others.
    let asked = tokio::time::timeout(QUESTION_TIMEOUT, read_question(&stream)).await??;
    let (line, file) = asked;
    let response = match serde_json::from_slice(&line) {
        Ok(request) => ask(request, file, &questions, own).await,
        Err(error) => Response::Error(format!("not a question: {error}")),
    };
    let mut text = serde_json::to_vec(&response)?;
    text.push(b'\n');
    let (_, mut writer) = stream.into_split();
    let written = async {
        writer.write_all(&text).await?;
        writer.shutdown().await
    };
    tokio::time::timeout(WRITE_TIMEOUT, written).await?
}

/// Reads a line, and a descriptor that comes with it.
async fn read_question(stream: &UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let (mut line, mut file) = (Vec::new(), None);
    let mut buf = [0; 4096];
    while !line.contains(&b'\n') && line.len() < LINE_BYTES_MAX {
        let taken = stream.async_io(Interest::READABLE, || {
            let taken = channel::take_from_stream(stream.as_fd(), &mut buf, 1);
            taken.map_err(io::Error::from)
        });
        let (len, mut descriptors) = taken.await?;
        if len == 0 {
            break;
        }
        line.extend_from_slice(&buf[..len]);
        file = file.or_else(|| descriptors.pop());
    }
    Ok((line, file))
}

/// Has a question answered, in the time that it may take.
pub(crate) async fn ask(
    request: Request,
    file: Option<OwnedFd>,
    questions: &mpsc::Sender<Question>,
    own: PathBuf,
) -> Response {
    let patience = match request {
        Request::Status
        | Request::Configuration
        | Request::FollowLog
        | Request::Connections(_)
        | Request::Events { .. } => ANSWER_TIMEOUT,
        Request::Reload { .. }
        | Request::Backend { .. }
        | Request::Router { .. }
        | Request::Maintenance { .. } => CHANGE_TIMEOUT,
    };
    let (reply, answer) = oneshot::channel();
    let question = Question {
        request,
        file,
        reply,
    };
    let answered = async {
        questions.send(question).await.ok()?;
        answer.await.ok()
    };
    match tokio::time::timeout(patience, answered).await {
        Ok(Some(Response::Status(mut status))) => {
            let running = &mut status.configuration;
            let on_disk = checksum_of(own).await;
            running.file_differs = on_disk.map(|on_disk| on_disk != running.checksum);
            Response::Status(status)
        }
        Ok(Some(Response::Configuration(shown))) => without_secrets(shown).await,
        Ok(Some(response)) => response,
        Ok(None) => Response::Error("the daemon is stopping".into()),
        Err(_) => Response::Error("the daemon did not answer in time".into()),
    }
}

/// Takes the secrets out of a configuration as it is in the file; a large one takes its time, for
/// which the loop has none.
async fn without_secrets(mut shown: Box<ShownConfiguration>) -> Response {
    let text = std::mem::take(&mut shown.yaml);
    let hiding = Aside::begin("hide", move || config::without_secrets(&text));
    let hidden = match hiding {
        Ok(mut hiding) => hiding.outcome(ANSWER_TIMEOUT).await,
        Err(error) => Err(error),
    };
    match hidden {
        Ok(Ok(yaml)) => {
            shown.yaml = yaml;
            Response::Configuration(shown)
        }
        Ok(Err(why)) => Response::Error(why),
        Err(error) => Response::Error(format!("the configuration cannot be shown: {error}")),
    }
}

/// Returns the checksum of the file at this path, where it can be had soon.
async fn checksum_of(path: PathBuf) -> Option<String> {
    let mut looking = Aside::begin("look", move || source::checksum_of(&path)).ok()?;
    looking.outcome(LOOK_TIMEOUT).await.ok()?
}

/// Operators at a time; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 64;
/// The longest question.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// From the accept to the last byte of the question.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two lines about accepts that fail.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// From a question to its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The same of one that changes something, and may wait for others that do.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long who asked may take to read the answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a disk may take to show whether the file is another one by now.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// After an accept that failed, so that a lack of descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
