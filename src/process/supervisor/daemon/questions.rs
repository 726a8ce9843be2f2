//! The operators' questions: a status is put together from what both children say in time.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use super::Daemon;
use super::asked::{Asked, ProxyPart};
use crate::config::Tier;
use crate::ipc::control::{
    BackendStatus, ConfigurationStatus, ListenerStatus, PoolStatus, ProcessStatus, Refusal,
    Request, Response, ShownConfiguration, Status, unix_s,
};
use crate::ipc::lent;
use crate::ipc::message::{ToProxy, ToVrrp};
use crate::process::role::Role;
use crate::process::supervisor::control::socket::Question;
use crate::process::supervisor::follow::process::NamesProcess;
use crate::process::supervisor::keys::{Keys, find};
use crate::process::supervisor::reload::commanded;
use crate::process::supervisor::reload::stages::Order;

impl Daemon {
    pub(super) fn handle_question(&mut self, question: Question) {
        match question.request {
            Request::Events { after } => {
                // Who asked and left needs no answer.
                let _ = question
                    .reply
                    .send(Response::Events(self.event_log.after(after)));
            }
            Request::Reload { .. }
            | Request::Backend { .. }
            | Request::Router { .. }
            | Request::Maintenance { .. } => {
                let (own, reply) = (&self.setup.path, question.reply);
                if let Some(order) = Order::of(question.request, own, question.file, reply) {
                    self.take_order(order);
                }
            }
            Request::FollowLog => {
                let answer = match self.setup.config.access_log {
                    Some(_) => self.lend_to_proxy(&ToProxy::FollowLog, question.file),
                    None => Response::Refused(Refusal {
                        text: NO_LOG.into(),
                        bad_config: false,
                    }),
                };
                let _ = question.reply.send(answer);
            }
            Request::Connections(wanted) => {
                let message = ToProxy::ReportConnections(wanted);
                let answer = self.lend_to_proxy(&message, question.file);
                let _ = question.reply.send(answer);
            }
            Request::Configuration => {
                let setup = &self.setup;
                // Who answers takes the secrets out of it.
                let shown = ShownConfiguration {
                    file: setup.running.file.display().to_string(),
                    generation: setup.running.generation,
                    yaml: setup.yaml.clone(),
                    overrides: commanded::describe(&setup.overrides),
                };
                let _ = question
                    .reply
                    .send(Response::Configuration(Box::new(shown)));
            }
            Request::Status => {
                self.next_id += 1;
                let id = self.next_id;
                let asked = Asked {
                    id,
                    reply: question.reply,
                    until: Instant::now() + STATUS_TIMEOUT,
                    routers: self.vrrp.is_none().then(Default::default),
                    proxy: self.proxy.is_none().then(Default::default),
                };
                self.asked.push(asked);
                if let Some(child) = &mut self.vrrp {
                    child.offer(&ToVrrp::ReportStatus { id });
                }
                if let Some(child) = &mut self.proxy {
                    child.offer(&ToProxy::ReportStatus { id });
                }
                self.fill(id, |_| ());
            }
        }
    }

    /// Passes a socket of an operator's to the proxy, which answers over it.
    fn lend_to_proxy(&mut self, message: &ToProxy, socket: Option<OwnedFd>) -> Response {
        let Some(socket) = socket.filter(lent::is_lent) else {
            return Response::Error("a socket must come with this question".into());
        };
        let Some(proxy) = self.proxy.as_mut().filter(|proxy| proxy.is_running()) else {
            let name = Role::Proxy.profile().name;
            return Response::Error(format!("{name} does not run"));
        };
        match proxy.pass(message, &[socket.as_fd()]) {
            Ok(()) => Response::OverSocket,
            Err(error) => Response::Error(format!("the socket cannot be passed: {error}")),
        }
    }

    /// Adds a part to a status and answers it when it is whole.
    pub(super) fn fill(&mut self, id: u64, part: impl FnOnce(&mut Asked)) {
        let Some(index) = self.asked.iter().position(|asked| asked.id == id) else {
            return;
        };
        part(&mut self.asked[index]);
        if self.asked[index].routers.is_some() && self.asked[index].proxy.is_some() {
            let asked = self.asked.remove(index);
            self.answer(asked);
        }
    }

    /// Fills in what the proxy does not know of its listeners' certificates; returns what is to be
    /// known of them.
    fn show_certificates(&self, listeners: &mut [ListenerStatus]) -> Vec<String> {
        let now_s = unix_s(SystemTime::now());
        for listener in listeners {
            let mut configured = self.setup.config.listeners.iter();
            let configured = configured.find(|it| it.name == listener.name);
            let tls = configured.and_then(|it| it.tls.as_ref());
            listener.certificates = tls.map_or(Vec::new(), |tls| find::status_of(tls, now_s));
        }
        let mut notes = find::notes(&self.setup.config, now_s);
        notes.extend(
            self.certificate_warnings
                .iter()
                .map(|why| format!("certificate not taken up, the one before serves: {why}")),
        );
        let missing = self.keys.iter().flat_map(|keys| &keys.missing);
        notes
            .extend(missing.map(|why| format!("a key is missing, handshakes with it fail: {why}")));
        notes.extend(self.followers.warnings().map(str::to_owned));
        let dead = |keys: &Keys| !keys.child.is_running();
        if self.keys.as_ref().is_some_and(dead) {
            let name = Role::Keys.profile().name;
            notes.push(format!(
                "{name} does not run: handshakes wait, connections go on"
            ));
        }
        let dead = |names: &NamesProcess| !names.child.is_running();
        if self.names.as_ref().is_some_and(dead) {
            let name = Role::Names.profile().name;
            notes.push(format!(
                "{name} does not run: names are not looked up, their last addresses stay"
            ));
        }
        notes
    }

    pub(super) fn answer(&self, asked: Asked) {
        let lacking = self.lacking.iter();
        let mut warnings: Vec<String> = lacking
            .map(|(role, what)| format!("{}: {what}", role.profile().name))
            .chain(self.shortages.warnings(Instant::now()))
            .chain(self.unrunnable.iter().map(|(script, why)| {
                format!(
                    "track script {script} cannot be run: {why}; what was last known of it stands"
                )
            }))
            .collect();
        let mut missing = |name| warnings.push(format!("{name} does not answer"));
        let (mut virtual_routers, statistics) = asked.routers.unwrap_or_else(|| {
            missing(Role::Vrrp.profile().name);
            Default::default()
        });
        for router in &mut virtual_routers {
            // Tracking knows why; the router itself knows only that it was told.
            let reason = self.tracker.explain(Instant::now(), &router.name.entry);
            if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
                router.priority_reason = reason;
            }
        }
        let proxy = asked.proxy.unwrap_or_else(|| {
            missing(Role::Proxy.profile().name);
            ProxyPart {
                pools: self.pools_as_last_heard(),
                ..ProxyPart::default()
            }
        });
        let mut listeners = proxy.listeners;
        warnings.extend(self.show_certificates(&mut listeners));
        let name = Role::Proxy.profile().name;
        let short = proxy.warnings.iter().map(|what| format!("{name}: {what}"));
        warnings.extend(short);
        let own = ProcessStatus {
            name: Role::Supervisor.profile().name.into(),
            pid: Some(std::process::id()),
            restarts: 0,
        };
        let keys = self.keys.as_ref().map(|keys| &keys.child);
        let names = self.names.as_ref().map(|names| &names.child);
        let admin = self.admin.child();
        let children = [self.vrrp.as_ref(), self.proxy.as_ref(), keys, names, admin]
            .into_iter()
            .flatten()
            .map(|child| ProcessStatus {
                name: child.name().into(),
                pid: child.pid(),
                restarts: child.restarts(),
            });
        let status = Status {
            node: self.setup.config.node.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            virtual_routers,
            listeners,
            pools: proxy.pools,
            processes: std::iter::once(own).chain(children).collect(),
            warnings,
            statistics,
            access_log: proxy.access_log,
            configuration: self.configuration(),
            overrides: commanded::describe(&self.setup.overrides),
        };
        // Who asked and left needs no answer.
        let _ = asked.reply.send(Response::Status(Box::new(status)));
    }

    /// Returns what is to be said of the configuration that runs; the file on disk is looked at by
    /// who answers.
    fn configuration(&self) -> ConfigurationStatus {
        let setup = &self.setup;
        let running = setup.running.clone();
        ConfigurationStatus {
            is_own: running.file == setup.path,
            file: running.file.display().to_string(),
            generation: running.generation,
            since_ms: running.since_ms,
            checksum: running.checksum,
            file_differs: None,
            last_failure: running.last_failure,
        }
    }

    /// Returns what is known of the pools while the proxy itself does not answer.
    fn pools_as_last_heard(&self) -> Vec<PoolStatus> {
        let pools = self.setup.config.pools.iter();
        pools
            .map(|pool| {
                let health = self.health.get(&pool.name);
                let backends = pool.backends.iter().map(|backend| BackendStatus {
                    name: backend.name.clone(),
                    address: backend.address,
                    state: match health.and_then(|health| health.backends.get(&backend.name)) {
                        Some(true) => "up".into(),
                        Some(false) => "down".into(),
                        None => "unprobed".into(),
                    },
                    check: "as last heard from the proxy".into(),
                    active_requests: 0,
                    requests_total: 0,
                    failures_total: 0,
                    unsolicited_total: 0,
                    requests_max: backend.requests,
                    mode: backend.mode,
                    backup: backend.tier == Tier::Backup,
                    slow_start: None,
                    ejected_ms: None,
                });
                PoolStatus::uncounted(pool.name.clone(), backends.collect())
            })
            .collect()
    }
}

/// Why nobody can follow the access log, and how to mend that.
const NO_LOG: &str = "the access log is off\nhelp: write `access_log: {to: stdout}` into the \
                      configuration, or a file, and say `evenkeel reload`";
/// How long the children may take for their part of a status.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
