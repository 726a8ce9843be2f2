//! A head that was judged becomes a request: its route is found, what that changes is changed, and
//! what the proxy answers itself is made.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{
    HttpsRedirectConfig, KeepQuery, RedirectConfig, RespondConfig, RouteAction, RouteConfig,
};
use crate::logic::access::Termination;
use crate::logic::balance::route::{Asked, Found, PathPattern};
use crate::logic::http1::local_reply::LocalReply;
use crate::logic::http1::refusal::RequestRefusal;
use crate::logic::http1::request::{RequestHead, Rewritten, Target};
use crate::logic::http1::rewrite::edit::{Edits, FieldEdits};
use crate::logic::http1::rewrite::path::{NormalPath, normalize};
use crate::logic::http1::rewrite::template::{Template, Values};
use crate::process::proxy::downstream::local::WorkerListener;
use crate::process::proxy::request::answer;
use crate::process::proxy::request::context::{Answerer, Local};
use crate::process::proxy::request::moments::AskedAs;
use crate::process::proxy::tls::facts::TlsFacts;

/// What becomes of a request.
pub(in crate::process::proxy) struct Routed {
    /// Whose rules hold for it, by index.
    pub(in crate::process::proxy) rules: usize,
    pub(in crate::process::proxy) answerer: Answerer,
    /// What is edited of the response.
    pub(in crate::process::proxy) edits: Option<Rc<Edits>>,
    /// What the client has asked for, where a backend is asked something else.
    pub(in crate::process::proxy) asked_as: Option<Box<AskedAs>>,
}

impl Routed {
    /// Returns what becomes of every request of a listener that has only a pool.
    pub(in crate::process::proxy) fn to_pool(listener: &WorkerListener) -> Self {
        let pool = &listener.worker_pools[0];
        Self {
            rules: 0,
            answerer: pool.as_ref().map_or_else(
                || Answerer::Local(Box::new(answer::no_route())),
                |pool| Answerer::Pool(Rc::clone(pool)),
            ),
            edits: None,
            asked_as: None,
        }
    }
}

/// The route of a request.
pub(in crate::process::proxy) struct Route<'b> {
    /// Whose rules hold for it, by index.
    pub(in crate::process::proxy) rules: usize,
    /// The path and query that a backend is sent, where they are not those of the client.
    target: Option<Cow<'b, str>>,
    found: Found,
    /// The path and query, in normal form.
    path: NormalPath<'b>,
}

impl<'b> Route<'b> {
    /// Finds the route of a request.
    ///
    /// # Errors
    /// When its path can be read in two ways, and some route asks for a path.
    pub(in crate::process::proxy) fn find(
        listener: &WorkerListener,
        head: &RequestHead<'_, 'b>,
        client: IpAddr,
    ) -> Result<Self, RequestRefusal> {
        let target = match head.target.path() {
            // RFC 9112 §3.2.2: a query alone belongs to the root.
            text if text.starts_with('?') => Cow::Owned(format!("/{text}")),
            text => Cow::Borrowed(text),
        };
        let looks = listener.table.looks_at_paths();
        let path = match (&target, head.target) {
            (Cow::Borrowed(text), Target::Origin(_) | Target::Absolute(..)) if looks => {
                normalize(text).map_err(RequestRefusal::Path)?
            }
            (Cow::Borrowed(_) | Cow::Owned(_), _) => as_written(target),
        };
        let has_field = |wanted: &str, value: Option<&str>| {
            let mut fields = head.fields.all().iter();
            fields.any(|field| {
                field.name.eq_ignore_ascii_case(wanted)
                    && value.is_none_or(|value| field.value == value.as_bytes())
            })
        };
        let found = listener.table.find(&Asked {
            host: head.host_name(),
            path: path.matched(),
            query: path.query(),
            method: head.method,
            client,
            has_field: &has_field,
        });
        let rules = match found {
            Found::None => 0,
            Found::Route(index) | Found::Denied(index) => index + 1,
        };
        let mut routed = Self {
            rules,
            target: None,
            found,
            path,
        };
        routed.target = routed.sent(listener, looks);
        Ok(routed)
    }

    /// Returns the target that a backend is sent, where it differs.
    fn sent(&self, listener: &WorkerListener, is_normal: bool) -> Option<Cow<'b, str>> {
        if let (Found::Route(_), Some(route)) = (self.found, self.route(listener))
            && let RouteAction::Pool { rewrite, .. } = &route.action
            && let Some(to) = &rewrite.path
            && self.path.forwarded.starts_with('/')
        {
            let rest = rest_of(&self.path, route.when.path.as_ref());
            let target = joined(to, rest, self.path.query());
            return Some(Cow::Owned(target));
        }
        match &self.path.forwarded {
            Cow::Owned(target) if is_normal => Some(Cow::Owned(target.clone())),
            Cow::Owned(_) | Cow::Borrowed(_) => None,
        }
    }

    /// Returns what a backend is asked instead of what the client has asked.
    pub(in crate::process::proxy) fn rewritten<'r>(
        &'r self,
        listener: &'r WorkerListener,
    ) -> Rewritten<'r> {
        let host = match self.found {
            Found::Route(index) => match listener.routes.get(index).map(|it| &it.action) {
                Some(RouteAction::Pool { rewrite, .. }) => rewrite.host.as_deref(),
                Some(RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Pass)
                | None => None,
            },
            Found::Denied(_) | Found::None => None,
        };
        Rewritten {
            target: self.target.as_deref(),
            host,
        }
    }

    /// Edits the request as a backend is sent it, and returns what becomes of it.
    pub(in crate::process::proxy) fn routed(
        &self,
        listener: &WorkerListener,
        head: &RequestHead<'_, '_>,
        known: Known<'_>,
        message: &mut Vec<u8>,
    ) -> Routed {
        let is_rewritten = self.rewritten(listener) != Rewritten::default();
        let edits = self.edit(listener, known, message);
        Routed {
            rules: self.rules,
            answerer: self.answerer(listener, known, message),
            edits,
            asked_as: is_rewritten.then(|| {
                Box::new(AskedAs {
                    target: head.target.path().as_bytes().into(),
                    host: head.authority().into(),
                })
            }),
        }
    }

    /// Returns what the configuration says of it; `None` where no route is for the request.
    fn route<'l>(&self, listener: &'l WorkerListener) -> Option<&'l RouteConfig> {
        let index = listener.rules[self.rules].route?;
        listener.routes.get(index)
    }

    /// Returns the edits of requests and of responses that hold for it.
    fn edits<'l>(&self, listener: &'l WorkerListener) -> [&'l FieldEdits; 2] {
        match self.route(listener) {
            Some(route) => [&route.request_fields, &route.response_fields],
            None => [&listener.request_fields, &listener.response_fields],
        }
    }

    /// Edits the request as a backend is sent it, and returns what is edited of its response.
    fn edit(
        &self,
        listener: &WorkerListener,
        known: Known<'_>,
        message: &mut Vec<u8>,
    ) -> Option<Rc<Edits>> {
        let [of_request, of_response] = self.edits(listener);
        if of_request.is_empty() && of_response.is_empty() {
            return None;
        }
        let id = answer::request_id(message).unwrap_or_default().to_vec();
        let values = self.values(listener, known, &id);
        let edits = (!of_response.is_empty()).then(|| Rc::new(of_response.of(&values)));
        if !of_request.is_empty() {
            of_request.of(&values).apply(message);
        }
        edits
    }

    fn values<'v>(
        &'v self,
        listener: &'v WorkerListener,
        known: Known<'v>,
        request_id: &'v [u8],
    ) -> Values<'v> {
        let route = self.route(listener);
        Values {
            client: known.client,
            peer: known.peer,
            host: known.host,
            method: known.method.as_bytes(),
            // `*` is of no URL (RFC 9112 §3.2.4).
            path: match &self.path.forwarded.as_bytes()[..self.path.path_len] {
                b"*" => b"/",
                path => path,
            },
            query: self.path.query().as_bytes(),
            scheme: known.scheme,
            request_id,
            listener: &listener.name,
            route: route.map_or("", |route| &route.name),
            tls: known.tls.map(TlsFacts::values).unwrap_or_default(),
        }
    }

    /// Returns who answers it. `message` is the request as a backend would be sent it.
    fn answerer(&self, listener: &WorkerListener, known: Known<'_>, message: &[u8]) -> Answerer {
        let local = match self.found {
            Found::Denied(index) => {
                let route = listener.routes.get(index).map_or("", |route| &route.name);
                answer::denied(route)
            }
            Found::Route(index) => match listener.routes.get(index).map(|it| &it.action) {
                Some(RouteAction::Redirect(redirect)) => {
                    let values = self.values(
                        listener,
                        known,
                        answer::request_id(message).unwrap_or_default(),
                    );
                    redirected(redirect, &values)
                }
                Some(RouteAction::Respond(respond)) => responded(respond),
                Some(RouteAction::Pool { .. } | RouteAction::Pass) | None => {
                    match &listener.worker_pools[self.rules] {
                        Some(pool) => return Answerer::Pool(Rc::clone(pool)),
                        None => answer::no_route(),
                    }
                }
            },
            Found::None => match (listener.https_redirect, &listener.worker_pools[0]) {
                (Some(redirect), _) => {
                    let values = self.values(
                        listener,
                        known,
                        answer::request_id(message).unwrap_or_default(),
                    );
                    to_https(redirect, &values)
                }
                (_, Some(pool)) => return Answerer::Pool(Rc::clone(pool)),
                (_, None) => answer::no_route(),
            },
        };
        Answerer::Local(Box::new(local))
    }
}

/// What is known of a request besides its path.
#[derive(Clone, Copy)]
pub(in crate::process::proxy) struct Known<'a> {
    pub(in crate::process::proxy) client: IpAddr,
    pub(in crate::process::proxy) peer: std::net::SocketAddr,
    pub(in crate::process::proxy) host: &'a [u8],
    pub(in crate::process::proxy) method: &'a str,
    pub(in crate::process::proxy) scheme: &'static str,
    pub(in crate::process::proxy) tls: Option<&'a TlsFacts>,
}

/// Returns a path that nobody has to read.
fn as_written(target: Cow<'_, str>) -> NormalPath<'_> {
    NormalPath {
        path_len: target.find('?').unwrap_or(target.len()),
        forwarded: target,
        matched: None,
    }
}

/// Returns what is left of a path behind what its route asks for.
fn rest_of<'p>(path: &'p NormalPath<'_>, pattern: Option<&PathPattern>) -> &'p str {
    let forwarded = &path.forwarded[..path.path_len];
    match pattern {
        None => forwarded,
        Some(PathPattern::Exact(_)) => "",
        // A backend is sent the bytes of the client as far as they are those that were matched.
        Some(PathPattern::Prefix(prefix)) => [forwarded, path.matched()]
            .into_iter()
            .find_map(|path| path.strip_prefix(prefix.as_str()))
            .unwrap_or(forwarded),
    }
}

/// Joins a path and what comes behind it, with one slash between them where there is one.
fn joined(to: &str, rest: &str, query: &str) -> String {
    let mut target = String::with_capacity(to.len() + rest.len() + query.len() + 1);
    target.push_str(to);
    match (to.ends_with('/'), rest.starts_with('/')) {
        (true, true) => target.push_str(&rest[1..]),
        (false, false) if !rest.is_empty() => {
            target.push('/');
            target.push_str(rest);
        }
        (true, false) | (false, true) | (false, false) => target.push_str(rest),
    }
    target.push_str(query);
    target
}

fn redirected(redirect: &RedirectConfig, values: &Values<'_>) -> Local {
    let mut location = written(&redirect.to, values);
    if redirect.query == KeepQuery::Append {
        location.extend_from_slice(values.query);
    }
    sent_to(redirect.status, &location)
}

/// RFC 9110 §4.2.2: the host as it was asked for, without the port of this listener.
fn to_https(redirect: HttpsRedirectConfig, values: &Values<'_>) -> Local {
    let mut location = b"https://".to_vec();
    location.extend_from_slice(values.host);
    if redirect.port != 443 {
        let _ = write!(location, ":{}", redirect.port);
    }
    if !values.path.starts_with(b"/") {
        location.push(b'/');
    } else {
        location.extend_from_slice(values.path);
    }
    location.extend_from_slice(values.query);
    sent_to(redirect.status, &location)
}

fn sent_to(status: u16, location: &[u8]) -> Local {
    let why = format!("see {}", String::from_utf8_lossy(location));
    let mut reply = LocalReply::line(status, "redirected", why);
    reply.fields.extend_from_slice(b"Location: ");
    reply.fields.extend_from_slice(location);
    reply.fields.extend_from_slice(b"\r\n");
    Local {
        reply,
        termination: Termination::Redirected,
    }
}

fn responded(respond: &RespondConfig) -> Local {
    let mut reply = LocalReply::line(respond.status, "responded", String::new());
    reply.page = Some(answer::page_of(respond));
    Local {
        reply,
        termination: Termination::Responded,
    }
}

fn written(template: &Template, values: &Values<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    template.write(values, &mut out);
    out
}
