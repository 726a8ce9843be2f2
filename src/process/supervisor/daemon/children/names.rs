//! The process that looks names up: what it says beside its answers, and how it ends.
//!
//! Without it the pools have the last addresses of their names; a new one is asked what the one
//! before has not answered.

use std::time::Instant;

use crate::ipc::message::FromNames;
use crate::logic::lifecycle::Phase;
use crate::model::Chain;
use crate::process::role::Role;
use crate::process::supervisor::child::Heard;
use crate::process::supervisor::daemon::Daemon;
use crate::process::supervisor::daemon::belief::Belief;
use crate::process::supervisor::daemon::shortage::Shortage;
use crate::process::supervisor::error::SupervisorError;
use crate::process::supervisor::follow::line::Wrong;
use crate::process::supervisor::follow::process::{NamesProcess, has_names};
use crate::process::supervisor::reload::stages::Stage;

impl Daemon {
    pub(in crate::process::supervisor::daemon) async fn hear_names(
        &mut self,
        heard: Heard<FromNames>,
    ) {
        match heard {
            Heard::Message(message, descriptors) => match Belief::of_names(message, &descriptors) {
                Ok(message) => self.handle_names(message),
                Err(unfit) => self.condemn_names(&unfit),
            },
            Heard::Lost(errno) => {
                let now = Instant::now();
                self.shortages
                    .note(now, Shortage::Receive(Role::Names), &errno);
            }
            Heard::Unfit(unfit) => self.condemn_names(&unfit),
            Heard::End => self.handle_names_end(Instant::now()).await,
        }
    }

    fn condemn_names(&mut self, unfit: &str) {
        if let Some(names) = &mut self.names {
            names.child.condemn(unfit);
        }
    }

    fn handle_names(&mut self, message: FromNames) {
        match message {
            FromNames::Beat => {
                if let Some(names) = &mut self.names {
                    names.child.handle_beat(0);
                }
            }
            FromNames::Lacking(what) => self.note_lacking(Role::Names, what),
            FromNames::Replaced(path) => {
                if let Some(names) = &mut self.names
                    && names.relieve()
                {
                    let child = names.child.name();
                    tracing::info!(
                        child,
                        path,
                        "file of the resolver replaced, restarting the process"
                    );
                }
            }
            FromNames::Log(line) => self.print(Role::Names, line),
        }
    }

    async fn handle_names_end(&mut self, now: Instant) {
        let Some(names) = &mut self.names else { return };
        let pid = names.child.pid();
        let ended = names.child.handle_end(now).await;
        self.names_ended(pid, &ended);
    }

    pub(in crate::process::supervisor::daemon) fn names_ended(
        &mut self,
        pid: Option<u32>,
        ended: &str,
    ) {
        let relieved = self.names.as_mut().is_some_and(NamesProcess::take_relieved);
        if self.lifecycle.phase() == Phase::Running && !relieved {
            let child = Role::Names.profile().name;
            tracing::error!(child, pid, %ended, "process died, restarting it");
        }
    }

    /// Starts it again where it is due.
    pub(in crate::process::supervisor::daemon) fn start_names_again(&mut self, now: Instant) {
        let Some(names) = &mut self.names else { return };
        if names.child.start_at().is_none_or(|at| at > now) {
            return;
        }
        if let Err(error) = names.start_again(now) {
            let error = Chain(&error);
            self.shortages
                .note(now, Shortage::Start(Role::Names), &error);
            names.child.put_off(now);
        }
    }

    /// Ends a process whose answers are none, and lets one go that nobody needs: also one that was
    /// started for a configuration that was refused.
    pub(in crate::process::supervisor::daemon) fn follow_names(&mut self) {
        if let Some(wrong) = self.followers.resolver().take_wrong()
            && let Some(names) = &mut self.names
        {
            let child = names.child.name();
            match wrong {
                Wrong::Unfit(unfit) => names.child.condemn(&unfit),
                Wrong::Stuck => {
                    let cause = "none of its questions has an answer";
                    tracing::warn!(child, cause, "process makes no progress, killing it");
                    names.child.kill();
                }
            }
        }
        // What is read or prepared may need it.
        if let Stage::Idle = self.reloads.stage
            && !has_names(&self.setup.base)
        {
            self.names = None;
        }
    }

    /// Starts it for a configuration that is to follow, where it is the first with names.
    pub(in crate::process::supervisor::daemon) fn start_names_first(
        &mut self,
    ) -> Result<(), SupervisorError> {
        if self.names.is_none() {
            let names = NamesProcess::start(self.followers.resolver(), Instant::now())?;
            self.names = Some(names);
        }
        Ok(())
    }
}
