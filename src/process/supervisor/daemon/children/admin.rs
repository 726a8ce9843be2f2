//! The process that operators look at: what it says, and how it ends. Nothing depends on it.

use std::time::Instant;

use crate::ipc::message::FromAdmin;
use crate::logic::lifecycle::Phase;
use crate::model::Chain;
use crate::process::role::Role;
use crate::process::supervisor::child::Heard;
use crate::process::supervisor::daemon::Daemon;
use crate::process::supervisor::daemon::belief::Belief;
use crate::process::supervisor::daemon::shortage::Shortage;

impl Daemon {
    pub(in crate::process::supervisor::daemon) async fn hear_admin(
        &mut self,
        heard: Heard<FromAdmin>,
    ) {
        let unfit = match heard {
            Heard::Message(message, descriptors) => match Belief::of_admin(message, &descriptors) {
                Ok(message) => return self.handle_admin(message),
                Err(unfit) => unfit,
            },
            Heard::Lost(errno) => {
                let lost = Shortage::Receive(Role::Admin);
                return self.shortages.note(Instant::now(), lost, &errno);
            }
            Heard::Unfit(unfit) => unfit,
            Heard::End => return self.handle_admin_end(Instant::now()).await,
        };
        if let Some(child) = self.admin.child_mut() {
            child.condemn(&unfit);
        }
    }

    fn handle_admin(&mut self, message: FromAdmin) {
        match message {
            FromAdmin::Beat => {
                if let Some(child) = self.admin.child_mut() {
                    child.handle_beat(0);
                }
            }
            FromAdmin::Lacking(what) => self.note_lacking(Role::Admin, what),
            FromAdmin::Log(line) => self.print(Role::Admin, line),
        }
    }

    async fn handle_admin_end(&mut self, now: Instant) {
        let Some(child) = self.admin.child_mut() else {
            return;
        };
        let pid = child.pid();
        let ended = child.handle_end(now).await;
        self.admin_ended(pid, &ended);
    }

    pub(in crate::process::supervisor::daemon) fn admin_ended(
        &mut self,
        pid: Option<u32>,
        ended: &str,
    ) {
        if self.lifecycle.phase() == Phase::Running {
            let child = Role::Admin.profile().name;
            tracing::error!(child, pid, %ended, "process died, restarting it");
        }
    }

    /// Starts it where it is due.
    pub(in crate::process::supervisor::daemon) fn start_admin(&mut self, now: Instant) {
        if let Err(error) = self.admin.start_if_due(now) {
            let error = Chain(&error);
            self.shortages
                .note(now, Shortage::Start(Role::Admin), &error);
            if let Some(child) = self.admin.child_mut() {
                child.put_off(now);
            }
        }
    }
}
