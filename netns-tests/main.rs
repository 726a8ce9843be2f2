//! Everything that needs a kernel of its own: namespaces, links, real peers. `netns-tests/run`
//! starts it.
//!
//! Needs root, or a user namespace's root (`unshare -Ur`). Each test makes its own networks and
//! leaves nothing. A peer that is not installed is a failure that says which package has it.

mod clients;
mod daemon;
mod demo;
mod host;
mod interop;
mod lab;
mod networks;
mod page;
mod pair;
mod tutorial;
mod virtual_mac;
mod wire;
