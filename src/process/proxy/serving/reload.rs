//! Another configuration in two steps: prepared, while everything goes on as it is, and committed.
//!
//! Neither step waits for the threads: their last answer is told as an event. What is not changed
//! is not touched (`generation`).

use std::sync::Arc;

use super::state::{Next, State};
use super::{PassedSocket, Proxy, ProxyError, require_sockets, shares};
use crate::config::Config;
use crate::ipc::message::FromProxy;
use crate::process::proxy::access::Log;
use crate::process::proxy::deployment::{Answers, Deployment, Desired, Sockets};
use crate::process::proxy::generation::Generation;
use crate::process::proxy::generation::compiled::Compiled;
use crate::process::proxy::io::listening::is_listening;
use crate::process::proxy::shared::Stage;

impl Proxy {
    /// Takes more sockets of an address. Where the running configuration has it, those that listen
    /// are accepted from at once, since the kernel already gives them connections; all others are
    /// for the configuration that is prepared next, and closed if that is forgotten.
    pub fn pass(&self, passed: PassedSocket) {
        let state = self.state();
        let PassedSocket { bind, sockets, .. } = passed;
        if self.is_draining() {
            return;
        }
        let is_served = state.running.generation.listener_of(bind).is_some();
        for socket in sockets.into_iter().map(Arc::new) {
            if is_served && is_listening(&socket) {
                state.running.sockets.add(bind, [socket]);
            } else {
                state.passed.add(bind, [socket]);
            }
        }
        self.desire(&state);
    }

    /// Prepares a configuration of this number, with `threads` workers that accept. Nothing changes
    /// yet; one that was prepared before is forgotten, with the sockets that were passed for it
    /// alone. `Prepared` is told when all workers have answered.
    ///
    /// # Errors
    /// When it cannot be taken up: the sockets do not fit it, the system refuses a thread, or the
    /// proxy stops. Then nothing is told.
    pub fn prepare(&self, number: u64, config: &Config, threads: u16) -> Result<(), ProxyError> {
        let compiled = self.compile(config)?;
        self.prepare_with(number, config, threads, compiled)
    }

    /// Compiles of a configuration what takes its time, on any thread.
    pub(in crate::process::proxy) fn compile(
        &self,
        config: &Config,
    ) -> Result<Compiled, ProxyError> {
        let running = Arc::clone(&self.state().running);
        let compiled = Generation::compile(config, Some(&running.generation), &self.secrets);
        compiled.map_err(|error| ProxyError::Tls(error.to_string()))
    }

    /// As [`prepare`](Self::prepare), with what was compiled of this configuration.
    pub(in crate::process::proxy) fn prepare_with(
        &self,
        number: u64,
        config: &Config,
        threads: u16,
        compiled: Compiled,
    ) -> Result<(), ProxyError> {
        let mut state = self.state();
        self.forget_next(&mut state);
        let passed = std::mem::take(&mut state.passed);
        if self.is_draining() {
            return Err(ProxyError::Draining);
        }
        if !state.running.committed.are_granted() {
            return Err(ProxyError::Busy);
        }
        let running = Arc::clone(&state.running);
        let generation = Generation::new(config, Some(&running.generation), &[], compiled);
        let generation = generation.map_err(|error| ProxyError::UnknownPool(error.listener))?;
        let sockets = Sockets::default();
        let is_wanted = |bind| generation.listener_of(bind).is_some();
        sockets.take_from([&running.sockets, &passed], is_wanted);
        require_sockets(&generation, &sockets, threads)?;
        let threads = usize::from(threads);
        let missing = state.missing(threads);
        let workers = threads.max(state.workers());
        let said = |event: fn(u64, Option<String>) -> FromProxy| {
            let events = Arc::clone(&self.events);
            move |refused| events(event(number, refused))
        };
        let prepared = |generation, refused| FromProxy::Prepared {
            generation,
            refused,
        };
        let committed = said(|generation, _| FromProxy::Committed { generation });
        let changed = generation.changed_since(&running.generation);
        let shared = Arc::clone(&self.shared);
        let committed = move |refused| {
            let now_ms = shared.now_ms();
            changed.iter().for_each(|pool| pool.take_effect(now_ms));
            committed(refused);
        };
        let deployment = Arc::new(Deployment {
            generation: Arc::new(generation),
            threads,
            shares: shares::of(config, workers, sockets.len()),
            sockets,
            connections: u64::from(config.proxy.connections),
            drain: config.proxy.drain,
            log: log_of(config, &running, workers).map_err(ProxyError::Thread)?,
            prepared: Answers::new(workers, said(prepared)),
            // The health checks answer too.
            committed: Answers::new(workers + 1, committed),
        });
        state.next = Some(Next {
            number,
            deployment: Arc::clone(&deployment),
        });
        self.desire(&state);
        for number in missing {
            let deployment = Arc::clone(&deployment);
            let started = move |result: std::io::Result<()>| {
                // One that has begun answers like the others.
                if let Err(error) = result {
                    let refused = format!("a worker did not start: {error}");
                    deployment.prepared.give(Err(refused));
                }
            };
            if let Err(error) = self.hire(&mut state, number, started) {
                self.forget_next(&mut state);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Puts the configuration of this number, which was prepared, in the place of the one before;
    /// returns whether there was one. `Committed` is told when every worker serves new requests by
    /// it and the health checks follow it, behind the health of every pool that has changed.
    pub fn commit(&self, number: u64) -> bool {
        let mut state = self.state();
        let is_ready =
            |next: &mut Next| next.number == number && next.deployment.prepared.are_granted();
        if self.is_draining() {
            return false;
        }
        let Some(Next { deployment, .. }) = state.next.take_if(is_ready) else {
            return false;
        };
        let before = std::mem::replace(&mut state.running, deployment);
        let running = Arc::clone(&state.running);
        let generation = &running.generation;
        // More may have come since it was prepared.
        let is_wanted = |bind| generation.listener_of(bind).is_some();
        let passed = std::mem::take(&mut state.passed);
        // Whoever may still know the deployment before keeps no socket open by it.
        let (former, prepared) = (before.sockets.take(), running.sockets.take());
        running
            .sockets
            .take_from([&former, &prepared, &passed], is_wanted);
        self.shared.set_connections_max(running.shares.connections);
        if let Some(old) = &before.log
            && !running
                .log
                .as_ref()
                .is_some_and(|log| Arc::ptr_eq(log, old))
        {
            old.retire();
        }
        self.desire(&state);
        let lacking = shares::lacking(&running);
        if lacking != shares::lacking(&before) {
            shares::warn_of(&lacking);
        }
        true
    }

    /// Forgets the configuration of this number, if it is prepared, with the sockets that were
    /// passed for it alone.
    pub fn forget(&self, number: u64) {
        let mut state = self.state();
        if state
            .next
            .as_ref()
            .is_some_and(|next| next.number == number)
        {
            self.forget_next(&mut state);
        }
    }

    pub(super) fn forget_next(&self, state: &mut State) {
        if state.next.take().is_some() {
            self.desire(state);
        }
    }

    /// Tells all threads what they are to do.
    fn desire(&self, state: &State) {
        let next = state.next.as_ref();
        self.desired.send_replace(Arc::new(Desired {
            running: Arc::clone(&state.running),
            next: next.map(|next| Arc::clone(&next.deployment)),
        }));
    }

    fn is_draining(&self) -> bool {
        match *self.stage.borrow() {
            Stage::Serving => false,
            Stage::Draining | Stage::Cutting => true,
        }
    }
}

/// Returns the access log of a configuration: the running one where it is the same.
fn log_of(
    config: &Config,
    running: &Deployment,
    workers: usize,
) -> std::io::Result<Option<Arc<Log>>> {
    let Some(wanted) = &config.access_log else {
        return Ok(None);
    };
    match &running.log {
        Some(same) if same.is_of(wanted) => Ok(Some(Arc::clone(same))),
        other => Log::start(wanted, workers, other.as_deref()).map(Some),
    }
}
