//! What is where on the admin listener, who may ask, and the fields that every answer has.
//!
//! | path | what |
//! |---|---|
//! | `/` | the status page |
//! | `/live` | what changes of it, as server-sent events |
//! | `/api/status`, `/api/events` | what `evenkeel status --json` and `events --json` print |
//! | `/metrics` | metrics, as OpenMetrics or plain text |
//! | `/livez`, `/readyz`, `/active` | 200 or 503, for monitors |
//! | `/change`, `/api/change` | changes, with the token |

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::answer::{Answer, Body, UNAVAILABLE};
use super::asking::ChangeLine;
use super::live::Live;
use super::watched::{Snapshot, Watched};
use super::{changes, hosts, metrics, page, probes};
use crate::ipc::message::AdminSettings;

/// What questions are answered with.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) settings: RefCell<Rc<AdminSettings>>,
    pub(super) watched: Rc<Watched>,
    pub(super) changes: ChangeLine,
    live: Rc<Live>,
    /// No guess at the token is told of until then.
    quiet_until: Cell<Option<Instant>>,
}

impl Desk {
    /// Answers a request; says where the connection is that of a page which is open.
    pub(super) async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        is_open: &Cell<bool>,
    ) -> Response<Body> {
        let method = request.method().clone();
        let is_live = method == Method::GET && request.uri().path() == "/live";
        let refused = self.refusal(&request);
        let refused = match (is_live, refused) {
            (true, None) => match Live::open(&self.live, &self.watched, &request) {
                Some(response) => {
                    is_open.set(true);
                    return dressed(response);
                }
                None => Some(Answer::line(UNAVAILABLE, "too many pages are open")),
            },
            (true | false, refused) => refused,
        };
        let answer = match refused {
            Some(refused) => refused,
            None if method == Method::POST => self.change(request, peer).await,
            None => self.show(&request).await,
        };
        let len = answer.body.len();
        let body = match method {
            Method::HEAD => Bytes::new(),
            _ => answer.body,
        };
        let mut response: Response<Body> = Response::new(Box::pin(Full::new(body)));
        *response.status_mut() = answer.status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_LENGTH, len.into());
        let more = match answer.status {
            StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, "GET, HEAD, POST")),
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            _ => answer.location.map(|to| (header::LOCATION, to)),
        };
        for (name, value) in more
            .into_iter()
            .chain([(header::CONTENT_TYPE, answer.kind)])
        {
            fields.insert(name, HeaderValue::from_static(value));
        }
        dressed(response)
    }

    /// Returns why a request is not answered, whatever it asks for.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        let path = request.uri().path();
        if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
            let why = "this is read with GET and changed with POST";
            return Some(Answer::line(StatusCode::METHOD_NOT_ALLOWED, why));
        }
        // Monitors ask as they like, and learn nothing but yes or no.
        if probes::is_one(path) {
            return None;
        }
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !hosts::is_known(host, &self.settings.borrow().hosts) {
            let why = "this name is none of the admin listener's: ask by address, or add the name \
                       to `admin: {hosts: [...]}`";
            return Some(Answer::line(StatusCode::MISDIRECTED_REQUEST, why));
        }
        None
    }

    async fn show(&self, request: &Request<Incoming>) -> Answer {
        let uri = request.uri();
        match uri.path() {
            "/page.css" => {
                return Answer::new(StatusCode::OK, "text/css; charset=utf-8", page::STYLE);
            }
            "/page.js" => {
                return Answer::new(
                    StatusCode::OK,
                    "text/javascript; charset=utf-8",
                    page::SCRIPT,
                );
            }
            "/icon.svg" => return Answer::new(StatusCode::OK, "image/svg+xml", page::ICON),
            _ => {}
        }
        let snapshot = self.watched.snapshot().await;
        if let Some(answer) = probes::answer(uri, snapshot.as_deref()) {
            return answer;
        }
        let Some(snapshot) = snapshot else {
            return Answer::line(UNAVAILABLE, "the supervisor does not answer");
        };
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let format = metrics::Format::accepted_by(accept);
        self.show_snapshot(uri.path(), format, &snapshot)
    }

    fn show_snapshot(&self, path: &str, format: metrics::Format, snapshot: &Snapshot) -> Answer {
        let Some(status) = &snapshot.status else {
            return Answer::line(UNAVAILABLE, "the daemon does not say its status");
        };
        let texts = &snapshot.texts;
        match path {
            "/" => {
                let may_change = self.settings.borrow().token.is_some();
                let made = match may_change {
                    true => &texts.page_with_form,
                    false => &texts.page,
                };
                let text = made.get_or_init(|| {
                    let history = self.watched.history.borrow();
                    page::document(snapshot, status, &history, may_change).into()
                });
                Answer::new(StatusCode::OK, "text/html; charset=utf-8", text.clone())
            }
            "/api/status" => {
                let text = texts.status.get_or_init(|| json(status));
                Answer::new(StatusCode::OK, JSON, text.clone())
            }
            "/api/events" => Answer::new(StatusCode::OK, JSON, json(&snapshot.events)),
            "/metrics" => {
                let made = match format {
                    metrics::Format::OpenMetrics => &texts.open_metrics,
                    metrics::Format::Plain => &texts.metrics,
                };
                let text = made.get_or_init(|| {
                    let text = metrics::text(status, snapshot.at_ms, format);
                    text.unwrap_or_default().into()
                });
                Answer::new(StatusCode::OK, format.kind(), text.clone())
            }
            _ => Answer::line(StatusCode::NOT_FOUND, "there is nothing here; see `/`"),
        }
    }

    /// Returns whether it is time for another warning.
    fn may_warn(&self) -> bool {
        let now = Instant::now();
        let is_quiet = self.quiet_until.get().is_some_and(|until| now < until);
        if !is_quiet {
            self.quiet_until.set(Some(now + WARNING_INTERVAL));
        }
        !is_quiet
    }

    async fn change(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let (parts, body) = request.into_parts();
        let body = http_body_util::Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return Answer::line(StatusCode::PAYLOAD_TOO_LARGE, "a change is shorter");
            }
            Err(_) => return Answer::line(StatusCode::REQUEST_TIMEOUT, "the change did not come"),
        };
        let token = self.settings.borrow().token.clone();
        match changes::read(&parts, &body, token.as_ref()) {
            Ok(change) => {
                let outcome = self.changes.ask(&change.request).await;
                changes::answer(&change, &outcome, peer)
            }
            Err(refused) => {
                if refused.is_suspicious() && self.may_warn() {
                    tracing::warn!(%peer, "change by the admin listener without the right token");
                }
                refused.answer()
            }
        }
    }
}

/// Returns something that can always be written.
fn json(what: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(what).unwrap_or_default().into()
}

/// Adds the fields that every answer has.
fn dressed(mut response: Response<Body>) -> Response<Body> {
    let fields = response.headers_mut();
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

// Cross-Origin-Opener-Policy is not among them: without TLS browsers ignore it and complain.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src \
         'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
];
const JSON: &str = "application/json";
const BODY_BYTES_MAX: usize = 8 * 1024;
/// Between two lines about guesses.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
