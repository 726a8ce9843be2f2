//! What a daemon that was killed has left on the host, taken away without starting one.
//!
//! Only while no other daemon has virtual routers here: what is its own would look the same.
//! nftables tables end with their process, and all else but macvlans would with its lease.

use std::io;

use tracing::warn;

use crate::model::Chain;
use crate::process::vrrp::host::addresses;
use crate::process::vrrp::host::attachment;
use crate::process::vrrp::host::monitor::Monitor;
use crate::process::vrrp::host::netlink::Netlink;
use crate::process::vrrp::host::routes;

/// Removes every address, route and macvlan that is marked as ours, and puts back the settings of
/// interfaces that a macvlan remembers.
///
/// # Errors
/// When netlink cannot be opened or does not answer; what cannot be removed is logged.
pub fn remove() -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let mut monitor = Monitor::open(&mut netlink)?;
    for (ifindex, link) in monitor.view().links() {
        let ours = link
            .addresses
            .iter()
            .filter(|found| addresses::is_ours(found));
        let ours = ours.map(|found| found.address);
        if let Err(error) = addresses::remove(&mut netlink, ifindex, ours) {
            warn!(interface = %link.name, error = %Chain(&error), "addresses of a former run remain");
        }
    }
    if let Err(error) = routes::remove_leftovers(&mut netlink) {
        warn!(%error, "routes of a former run end with their lease only");
    }
    attachment::clear(&mut netlink, &mut monitor, |_, _| false);
    Ok(())
}
