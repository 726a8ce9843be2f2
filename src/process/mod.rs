//! The three processes of the daemon, and the table of what each may do.

pub mod role;
pub mod supervisor;
pub mod vrrp;
pub mod proxy;

use role::Role;

/// Runs a child process in its role until it ends; returns the exit code.
pub fn run_child(role: Role) -> i32 {
    let result: Result<(), Box<dyn std::error::Error>> = match role {
        Role::Supervisor => Err("the supervisor is nobody's child".into()),
        Role::Vrrp => Err("stub".into()),
        Role::Proxy => Err("stub".into()),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", role.profile().name);
            1
        }
    }
}
