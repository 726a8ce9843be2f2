//! What comes from the children on its way in, and the loop's regular talk to them.
//!
//! Every message is held against what its sender can know (`belief`) before it changes anything.
//! What is lost for want of descriptors or memory is noted (`shortage`), and nothing ends for it.

use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::errno::Errno;

use super::Daemon;
use super::shortage::Shortage;
use crate::ipc::log_line::LogLine;
use crate::ipc::message::{FromProxy, FromVrrp, ToVrrp};
use crate::process::role::Role;
use crate::process::supervisor::child::Heard;
use crate::process::supervisor::reload::stages::Stage;

impl Daemon {
    pub(super) async fn hear_vrrp(&mut self, heard: Heard<FromVrrp>) {
        let unfit = match heard {
            Heard::Message(message, descriptors) => {
                match self.belief.of_vrrp(message, &descriptors, self.next_id) {
                    Ok(message) => return self.handle_vrrp(message, descriptors),
                    Err(unfit) => unfit,
                }
            }
            Heard::Lost(errno) => return self.note_lost(Role::Vrrp, errno),
            Heard::End => return self.handle_vrrp_end().await,
            Heard::Unfit(unfit) => unfit,
        };
        if let Some(child) = &mut self.vrrp {
            child.condemn(&unfit);
        }
    }

    pub(super) async fn hear_proxy(&mut self, heard: Heard<FromProxy>) {
        let unfit = match heard {
            Heard::Message(message, descriptors) => {
                match self.belief.of_proxy(message, &descriptors, self.next_id) {
                    Ok(message) => return self.handle_proxy(message),
                    Err(unfit) => unfit,
                }
            }
            Heard::Lost(errno) => return self.note_lost(Role::Proxy, errno),
            Heard::End => return self.handle_proxy_end(Instant::now()).await,
            Heard::Unfit(unfit) => unfit,
        };
        if let Some(child) = &mut self.proxy {
            child.condemn(&unfit);
        }
    }

    fn note_lost(&mut self, role: Role, errno: Errno) {
        let now = Instant::now();
        self.shortages.note(now, Shortage::Receive(role), &errno);
    }

    /// Sends what waits, shows the vrrp process that this loop goes on, and notes what there was
    /// too little of.
    pub(super) fn talk_to_children(&mut self, now: Instant) {
        let keys = self.keys.as_mut().map(|keys| &mut keys.child);
        let names = self.names.as_mut().map(|names| &mut names.child);
        let admin = self.admin.child_mut();
        let children = [
            (Role::Vrrp, self.vrrp.as_mut()),
            (Role::Proxy, self.proxy.as_mut()),
            (Role::Keys, keys),
            (Role::Names, names),
            (Role::Admin, admin),
        ];
        for (role, child) in children {
            let Some(child) = child else { continue };
            child.resend();
            if role == Role::Vrrp {
                child.offer(&ToVrrp::Beat);
            }
            if let Some(errno) = child.take_shortage() {
                self.shortages.note(now, Shortage::Send(role), &errno);
            }
        }
        self.pass_pending_access_log(now);
        if let (Some(spool), Some(proxy)) = (&mut self.setup.spool, &mut self.proxy) {
            spool.pass_pending(proxy, now);
        }
    }

    /// Has the access log opened anew (SIGUSR1).
    pub(super) fn reopen_access_log(&mut self) {
        match &mut self.setup.access_log {
            Some(log) => log.begin_reopening(),
            None => tracing::info!("SIGUSR1 ignored: there is no access log"),
        }
    }

    /// Takes an access log that was opened anew into use.
    pub(super) fn lend_access_log(&mut self, opened: OwnedFd) {
        if let Some(log) = &mut self.setup.access_log {
            log.replace(opened);
        }
        self.pass_pending_access_log(Instant::now());
    }

    fn pass_pending_access_log(&mut self, now: Instant) {
        // A proxy would take it for that of the configuration that it prepares, which it may be
        // told to forget.
        if let Stage::Preparing(_) = self.reloads.stage {
            return;
        }
        let log = self
            .setup
            .access_log
            .as_mut()
            .filter(|log| log.is_pending());
        if let (Some(log), Some(proxy)) = (log, &mut self.proxy) {
            log.pass(proxy);
            if log.is_pending() {
                let why = "it is passed later";
                self.shortages.note(now, Shortage::AccessLog, &why);
            }
        }
    }

    /// Prints a line of a child, unless it has written too much already.
    pub(super) fn print(&mut self, role: Role, mut line: LogLine) {
        let now = Instant::now();
        let meter = match role {
            Role::Vrrp => &mut self.meters.vrrp,
            Role::Keys => &mut self.meters.keys,
            Role::Names => &mut self.meters.names,
            Role::Admin => &mut self.meters.admin,
            Role::Proxy | Role::Supervisor => &mut self.meters.proxy,
        };
        match meter.admit(now, line.bytes()) {
            Some(dropped) => {
                line.dropped = line.dropped.saturating_add(dropped);
                // A printer that is full has lost lines of everybody, and says so itself.
                self.printer.print(role.profile().name, &line);
            }
            None => {
                let why = "until it is quieter";
                self.shortages.note(now, Shortage::Log(role), &why);
            }
        }
    }
}
