//! The three processes of the daemon, and the table of what each may do.

pub mod proxy;
pub mod role;
pub mod supervisor;
pub mod vrrp;

use std::error::Error;
use std::os::fd::OwnedFd;

use role::Role;

use crate::ipc::channel::{Channel, Sent};
use crate::ipc::log;
use crate::ipc::message::{FromProxy, FromVrrp};

/// Runs a child process in its role until it ends; returns the exit code.
///
/// It is confined before anything else happens, and its log goes to the supervisor.
pub fn run_child(role: Role) -> i32 {
    match confined(role) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", role.profile().name);
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
        Role::Vrrp => log::to_supervisor(move |line| hand_over(&lines, &FromVrrp::Log(line))),
        Role::Proxy => log::to_supervisor(move |line| hand_over(&lines, &FromProxy::Log(line))),
    }
    for shortcoming in shortcomings {
        tracing::warn!(cause = shortcoming, "process is less confined than it could be");
    }
    let result = match role {
        Role::Supervisor => Ok(()),
        Role::Vrrp => run_vrrp(channel),
        Role::Proxy => run_proxy(channel),
    };
    if let Err(error) = &result {
        tracing::error!(%error, "process failed");
    }
    result
}

fn run_vrrp(_channel: OwnedFd) -> Result<(), Box<dyn Error>> {
    Err("stub".into())
}

fn run_proxy(_channel: OwnedFd) -> Result<(), Box<dyn Error>> {
    Err("stub".into())
}

/// Sends a line for the log; false when there was no room, or nobody to read it.
fn hand_over<T: serde::Serialize>(channel: &Channel, message: &T) -> bool {
    matches!(channel.send(message, &[]), Ok(Sent::Queued))
}

