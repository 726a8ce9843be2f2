//! A network: hosts around one switch, and the faults of their links.
//!
//! The switch is a host of its own with the bridge `br0`; each other host has `eth0`, whose other
//! end is a port of the bridge that bears the host's name. A fault is done to the port, so that the
//! host learns of it only what it would learn of a real cable or switch.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::lab::LabError;
use crate::lab::namespace::host::Host;
use crate::lab::namespace::netlink;

/// A switch and the hosts on it; all of it vanishes on drop, as soon as nobody else holds a host.
#[derive(Debug)]
pub struct Lab {
    // Before the switch, so that links go with the hosts.
    members: Vec<Member>,
    switch: Host,
}

impl Lab {
    /// Makes a switch without hosts.
    ///
    /// Needs root, or the user namespace of `enter_user_namespace_if_needed`.
    ///
    /// # Errors
    /// When the kernel refuses the namespace or the bridge.
    pub fn new() -> Result<Self, LabError> {
        let switch = Host::new("switch")?;
        switch.try_run("make the bridge", || {
            netlink::add_bridge(BRIDGE)?;
            netlink::set_up(BRIDGE)
        })?;
        Ok(Self {
            members: Vec::new(),
            switch,
        })
    }

    /// Adds a host with these addresses on its `eth0`, each written with its prefix length:
    /// `10.77.0.1/24`.
    ///
    /// The name becomes the name of a switch port: 1 to 15 letters, digits or hyphens.
    ///
    /// # Errors
    /// When an address does not parse, the name does not fit or is taken, or the kernel refuses.
    pub fn add_host(&mut self, name: &str, addresses: &[&str]) -> Result<Arc<Host>, LabError> {
        let addresses: Vec<(IpAddr, u8)> = addresses
            .iter()
            .map(|text| parse_address(text))
            .collect::<Result<_, _>>()?;
        if !is_port_name(name) || self.members.iter().any(|member| member.host.name() == name) {
            return Err(LabError::BadName(name.to_owned()));
        }
        let host = Arc::new(Host::new(name)?);
        let serial = u16::try_from(self.members.len() + 1)
            .map_err(|_| LabError::BadName(name.to_owned()))?;
        let mac = mac(serial);
        self.connect(&host, mac)?;
        dress(&host, addresses.clone())?;
        self.members.push(Member {
            host: Arc::clone(&host),
            mac,
            addresses,
        });
        Ok(host)
    }

    /// Returns a host by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Arc<Host>, LabError> {
        self.member(name).map(|member| &member.host)
    }

    /// Returns the switch, to look at its ports.
    pub const fn switch(&self) -> &Host {
        &self.switch
    }

    /// Pulls the cable: the host loses its carrier.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses.
    pub fn cut(&self, name: &str) -> Result<(), LabError> {
        self.at_port(name, "cut the link of", netlink::set_down)
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses.
    pub fn restore(&self, name: &str) -> Result<(), LabError> {
        self.at_port(name, "restore the link of", netlink::set_up)
    }

    /// Takes the host's interface away, with all that lay on it, and gives it a new one of the same
    /// name and addresses.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses.
    pub fn replace(&self, name: &str) -> Result<(), LabError> {
        let member = self.member(name)?;
        self.at_port(name, "take the interface of", netlink::delete_link)?;
        self.connect(&member.host, member.mac)?;
        dress(&member.host, member.addresses.clone())
    }

    /// Loses all frames from and to the host, whose carrier stays: a fault somewhere in the switch.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses.
    pub fn isolate(&self, name: &str) -> Result<(), LabError> {
        self.at_port(name, "isolate", |port| netlink::set_bridge(port, None))
    }

    /// Ends what [`Lab::isolate`] began.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses.
    pub fn join(&self, name: &str) -> Result<(), LabError> {
        self.at_port(name, "join", |port| {
            netlink::set_bridge(port, Some(BRIDGE))?;
            netlink::set_up(port)
        })
    }

    /// Makes all addresses of `target` unreachable from `name`, and from there only.
    ///
    /// What is in flight is lost, what is sent later is refused by the host itself.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses, as where it is blocked already.
    pub fn block(&self, name: &str, target: &str) -> Result<(), LabError> {
        let addresses = self.member(target)?.addresses.clone();
        self.host(name)?
            .try_run(format!("block {target}"), move || {
                let mut addresses = addresses.into_iter();
                addresses.try_for_each(|(address, _)| netlink::add_blackhole(address))
            })
    }

    /// Ends what [`Lab::block`] began; what is not blocked stays as it is.
    ///
    /// # Errors
    /// When there is no such host, or the kernel refuses.
    pub fn unblock(&self, name: &str, target: &str) -> Result<(), LabError> {
        let addresses = self.member(target)?.addresses.clone();
        self.host(name)?
            .try_run(format!("unblock {target}"), move || {
                let absent = |error: &io::Error| error.raw_os_error() == Some(libc::ESRCH);
                addresses.into_iter().try_for_each(|(address, _)| {
                    netlink::delete_blackhole(address)
                        .or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })
                })
            })
    }

    fn connect(&self, host: &Arc<Host>, mac: [u8; 6]) -> Result<(), LabError> {
        let (port, there) = (host.name().to_owned(), Arc::clone(host));
        self.switch.try_run(format!("connect {port}"), move || {
            netlink::add_veth(&port, INTERFACE, mac, there.namespace())?;
            netlink::set_bridge(&port, Some(BRIDGE))?;
            netlink::set_up(&port)
        })
    }

    fn at_port(
        &self,
        name: &str,
        action: &str,
        change: fn(&str) -> std::io::Result<()>,
    ) -> Result<(), LabError> {
        let port = self.host(name)?.name().to_owned();
        self.switch
            .try_run(format!("{action} {name}"), move || change(&port))
    }

    fn member(&self, name: &str) -> Result<&Member, LabError> {
        self.members
            .iter()
            .find(|member| member.host.name() == name)
            .ok_or_else(|| LabError::NoSuchHost(name.to_owned()))
    }
}

#[derive(Debug)]
struct Member {
    host: Arc<Host>,
    mac: [u8; 6],
    /// Those it was added with, and their prefix lengths.
    addresses: Vec<(IpAddr, u8)>,
}

/// Sets the interface of a host up and gives it its addresses.
fn dress(host: &Host, addresses: Vec<(IpAddr, u8)>) -> Result<(), LabError> {
    host.try_run("set eth0 up", move || {
        netlink::set_up(INTERFACE)?;
        for (address, prefix_len) in addresses {
            netlink::add_address(INTERFACE, address, prefix_len)?;
        }
        Ok(())
    })
}

/// Parses an address with its prefix length.
fn parse_address(text: &str) -> Result<(IpAddr, u8), LabError> {
    text.split_once('/')
        .and_then(|(address, prefix_len)| {
            let address: IpAddr = address.parse().ok()?;
            let prefix_len: u8 = prefix_len.parse().ok()?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            (prefix_len <= bits).then_some((address, prefix_len))
        })
        .ok_or_else(|| LabError::BadAddress(text.to_owned()))
}

fn is_port_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name != BRIDGE
        && name != "lo"
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Locally administered, one for each host of a lab.
const fn mac(serial: u16) -> [u8; 6] {
    let [high, low] = serial.to_be_bytes();
    [0x02, b'e', b'k', 0, high, low]
}

/// The name of the interface that each host has.
pub const INTERFACE: &str = "eth0";
const BRIDGE: &str = "br0";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_prefix_length_that_fits() {
        assert_eq!(parse_address("fd77::1/64").unwrap().1, 64);
        for wrong in ["10.77.0.1", "10.77.0.1/33", "10.77.0/24", "/24"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn port_names_are_names_of_interfaces() {
        assert!(is_port_name("lb1"));
        for wrong in ["", "br0", "lo", "a/b", "sixteen-letters-"] {
            assert!(!is_port_name(wrong), "{wrong}");
        }
    }
}
