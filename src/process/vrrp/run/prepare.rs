//! A configuration that is to follow: prepared on request, and what becomes of it said.

use std::collections::BTreeSet;
use std::sync::mpsc::TryRecvError;

use super::preparation::{Preparation, Prepared, Text};
use super::{Phase, Process};
use crate::config::VirtualRouterConfig;
use crate::ipc::message::{FromVrrp, SocketKey};
use crate::process::vrrp::boundary::Supervisor;
use crate::process::vrrp::host::Change;

impl<S: Supervisor> Process<S> {
    /// Begins to prepare a configuration, when the process runs; another one that was prepared is
    /// forgotten.
    pub(super) fn prepare(&mut self, text: Text) {
        self.forget_prepared();
        let generation = text.generation;
        let refused = match self.phase {
            Phase::Running => match Preparation::begin(text, self.read_config, self.open_sockets())
            {
                Ok(preparing) => {
                    self.preparing = Some(preparing);
                    return;
                }
                Err(error) => format!("no thread can be started: {error}"),
            },
            Phase::Surveying => {
                self.postponed = Some(text);
                return;
            }
            Phase::Waiting => "the process is still starting".to_owned(),
            Phase::Stopping { .. } | Phase::Over => "the process is stopping".to_owned(),
        };
        self.answer(generation, Some(refused));
    }

    /// Begins with what was to be prepared while the process was starting.
    pub(super) fn prepare_postponed(&mut self) {
        if let Some(text) = self.postponed.take() {
            self.prepare(text);
        }
    }

    /// Drops a configuration that will not follow.
    pub(super) fn forget(&mut self, generation: u64) {
        self.postponed.take_if(|it| it.generation == generation);
        let preparing = self.preparing.as_ref().map(|it| it.generation);
        let prepared = self.prepared.as_ref().map(|it| it.generation);
        if preparing.or(prepared) == Some(generation) {
            self.forget_prepared();
        }
    }

    /// Drops what is prepared.
    pub(super) fn forget_prepared(&mut self) {
        self.postponed = None;
        self.preparing = None;
        if let Some(prepared) = self.prepared.take() {
            self.change_host(Change {
                closing: prepared.ready.sockets,
                ..Change::default()
            });
        }
    }

    /// Takes the outcome, once it is there, and says it.
    pub(super) fn read_preparation(&mut self) {
        let Some(preparing) = &self.preparing else {
            return;
        };
        let outcome = match preparing.outcome() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("the thread that reads it has died".to_owned()),
        };
        let generation = preparing.generation;
        self.preparing = None;
        let outcome = outcome.and_then(|ready| {
            self.provide_for_gateways(&ready.routers)?;
            Ok(ready)
        });
        let refused = match outcome {
            Ok(ready) => {
                self.prepared = Some(Prepared { generation, ready });
                None
            }
            Err(why) => Some(why),
        };
        self.answer(generation, refused);
    }

    fn open_sockets(&self) -> BTreeSet<SocketKey> {
        let open = self.link_sockets.iter();
        open.map(|it| it.socket.key().clone()).collect()
    }

    fn provide_for_gateways(&mut self, routers: &[VirtualRouterConfig]) -> Result<(), String> {
        let mut gateways = routers.iter().flat_map(|router| &router.track.gateways);
        match (&mut self.host, gateways.next()) {
            (Some(host), Some(_)) => host
                .provide_for_gateways(None)
                .map_err(|error| format!("no thread for gateways: {error}")),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn answer(&mut self, generation: u64, refused: Option<String>) {
        self.outbox.push(FromVrrp::Prepared {
            generation,
            refused,
        });
    }
}
