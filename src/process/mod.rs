//! The processes of the daemon, and the table of what each may do.

pub mod admin;
pub mod keys;
pub mod names;
pub mod proxy;
pub mod role;
pub mod supervisor;
pub mod vrrp;

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use role::Role;

use crate::ipc::channel::{Channel, Received, Sent};
use crate::ipc::log;
use crate::ipc::message::{FromAdmin, FromKeys, FromNames, FromProxy, FromVrrp};
use crate::model::Chain;

/// Runs a child process in its role until it ends; returns the exit code.
///
/// It is confined before anything else happens, and its log goes to the supervisor.
pub fn run_child(role: Role) -> i32 {
    match confined(role) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {}", role.profile().name, Chain(&*error));
            1
        }
    }
}

fn confined(role: Role) -> Result<(), Box<dyn Error>> {
    let channel = role::inherited_channel()?;
    let shortcomings = role::confine(role)?;
    let lines = Channel::new(channel.try_clone()?);
    match role {
        Role::Supervisor => return Err("the supervisor is nobody's child".into()),
        Role::Vrrp => {
            hand_over(&lines, &FromVrrp::Lacking(shortcomings));
            log::to_supervisor(move |line| hand_over(&lines, &FromVrrp::Log(line)));
        }
        Role::Keys => {
            hand_over(&lines, &FromKeys::Lacking(shortcomings));
            log::to_supervisor(move |line| hand_over(&lines, &FromKeys::Log(line)));
        }
        Role::Names => {
            hand_over(&lines, &FromNames::Lacking(shortcomings));
            log::to_supervisor(move |line| hand_over(&lines, &FromNames::Log(line)));
        }
        Role::Admin => {
            hand_over(&lines, &FromAdmin::Lacking(shortcomings));
            log::to_supervisor(move |line| hand_over(&lines, &FromAdmin::Log(line)));
        }
        Role::Proxy => {
            hand_over(&lines, &FromProxy::Lacking(shortcomings));
            log::to_supervisor(move |line| hand_over(&lines, &FromProxy::Log(line)));
        }
    }
    let result = match role {
        Role::Supervisor => Ok(()),
        Role::Vrrp => run_vrrp(channel),
        Role::Keys => run_keys(channel),
        Role::Names => run_names(channel, role),
        Role::Admin => run_admin(channel),
        Role::Proxy => run_proxy(channel),
    };
    if let Err(error) = &result {
        tracing::error!(error = %Chain(&**error), "process failed");
    }
    result
}

fn run_vrrp(channel: OwnedFd) -> Result<(), Box<dyn Error>> {
    Ok(vrrp::run(Parent(Channel::new(channel)))?)
}

fn run_keys(channel: OwnedFd) -> Result<(), Box<dyn Error>> {
    Ok(keys::run::run(channel)?)
}

fn run_names(channel: OwnedFd, role: Role) -> Result<(), Box<dyn Error>> {
    let fence = role.profile().fence;
    let allowed_paths = fence.map_or(&[][..], |fence| fence.allowed_paths);
    Ok(names::run::run(channel, allowed_paths)?)
}

fn run_admin(channel: OwnedFd) -> Result<(), Box<dyn Error>> {
    Ok(admin::run::run(channel)?)
}

fn run_proxy(channel: OwnedFd) -> Result<(), Box<dyn Error>> {
    Ok(proxy::run::run(channel)?)
}

/// Sends a message; false when there was no room, or nobody to read it.
fn hand_over<T: serde::Serialize>(channel: &Channel, message: &T) -> bool {
    matches!(channel.send(message, &[]), Ok(Sent::Queued))
}

/// The supervisor as the protocol thread sees it, on the real channel.
struct Parent(Channel);

impl vrrp::Supervisor for Parent {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn receive(&mut self) -> io::Result<vrrp::Received> {
        match self.0.receive() {
            Ok(Received::Message(message, descriptors)) => {
                Ok(vrrp::Received::Message(message, descriptors))
            }
            Ok(Received::Empty) => Ok(vrrp::Received::Nothing),
            Ok(Received::Closed) => Ok(vrrp::Received::Closed),
            Err(error) if error.is_shortage() => Ok(vrrp::Received::Lost),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn send(&mut self, message: &FromVrrp, descriptors: &[BorrowedFd<'_>]) -> vrrp::Sent {
        match self.0.send(message, descriptors) {
            Ok(Sent::Queued) => vrrp::Sent::Done,
            // What there was no memory for is as good as what there was no room for: it is sent
            // again.
            Ok(Sent::Full | Sent::Short(_)) => vrrp::Sent::Full,
            // A channel that breaks is a supervisor that is gone.
            Ok(Sent::Closed) | Err(_) => vrrp::Sent::Closed,
        }
    }
}
