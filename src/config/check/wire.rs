//! How the advertisements of a virtual router are written, and to whom: version, checksum,
//! authentication, peers.

use std::net::IpAddr;

use super::addresses::is_link_local;
use crate::config::reader::{Fields, Value};
use crate::config::report::{Problems, shown};
use crate::logic::vrrp::{Authentication, ChecksumForm};
use crate::model::{AdverInterval, Family, Version, VirtualAddress};

/// How advertisements are written, and to whom.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) version: Version,
    pub(super) checksum: ChecksumForm,
    pub(super) authentication: Authentication,
    /// Of both families.
    pub(super) peers: Vec<IpAddr>,
    pub(super) peer_hops: u8,
}

/// The version and what belongs to it, and the peers.
pub(super) fn check_wire(
    fields: &Fields<'_>,
    interval: Option<AdverInterval>,
    problems: &mut Problems,
) -> Option<Wire> {
    let version = match fields
        .get("version")
        .map(|value| value.number(2, 3, problems))
    {
        None | Some(Some(3)) => Some(Version::V3),
        Some(Some(_)) => Some(Version::V2),
        Some(None) => None,
    };
    let checksum = check_checksum(fields, problems);
    let peers = check_peers(fields, problems);
    let peer_hops = check_peer_hops(fields, problems);
    let version = version?;
    let authentication = match fields.get("authentication") {
        None => Some(Authentication::None),
        Some(value) if version == Version::V3 => {
            let help =
                "it came with version 2 and protects nothing: the password travels in the clear";
            value.wrong_with_help("version 3 has no authentication", help, problems);
            None
        }
        Some(value) => check_authentication(value, problems),
    };
    let fraction = interval.is_some_and(|interval| interval.centiseconds() % 100 != 0);
    if let (Version::V2, true, Some(value)) =
        (version, fraction, fields.get("advertisement_interval"))
    {
        not_whole_seconds(value, problems);
        return None;
    }
    Some(Wire {
        version,
        checksum: checksum?,
        authentication: authentication?,
        peers: peers?,
        peer_hops: peer_hops?,
    })
}

/// The interval of version 2 has no fraction.
pub(super) fn not_whole_seconds(value: Value<'_>, problems: &mut Problems) {
    let message = "advertisement_interval is in whole seconds with version 2";
    value.wrong_with_help(message, "write 1s, or use version 3", problems);
}

pub(super) fn of_family(peers: &[IpAddr], family: Family) -> Vec<IpAddr> {
    peers
        .iter()
        .copied()
        .filter(|peer| Family::of(*peer) == family)
        .collect()
}

/// Unicast instead of multicast: the same list on every node.
fn check_peers(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<IpAddr>> {
    let Some(value) = fields.get("peers") else {
        return Some(Vec::new());
    };
    let items = value.items("addresses", problems)?;
    let mut peers = Vec::new();
    let count = items.len();
    for item in items {
        let Some(peer) = check_peer(item, problems) else {
            continue;
        };
        if peers.contains(&peer) {
            item.wrong(format!("{peer} is here twice"), problems);
        }
        peers.push(peer);
    }
    let ipv6 = || peers.iter().copied().filter(IpAddr::is_ipv6);
    if let (Some(local), Some(global)) = (
        ipv6().find(|peer| is_link_local(*peer)),
        ipv6().find(|peer| !is_link_local(*peer)),
    ) {
        let message = format!("{local} is link-local, and {global} is not");
        let help = "advertisements have one source: name all peers by the one or by the other";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    (peers.len() == count).then_some(peers)
}

/// How many routers lie between two peers.
fn check_peer_hops(fields: &Fields<'_>, problems: &mut Problems) -> Option<u8> {
    let Some(value) = fields.get("peer_hops") else {
        return Some(0);
    };
    if fields.get("peers").is_none() {
        let message = "peer_hops is for `peers` alone";
        let help = "multicast never crosses a router (RFC 9568 section 5.1.1.3)";
        value.wrong_with_help(message, help, problems);
        return None;
    }
    u8::try_from(value.number(0, HOPS_MAX, problems)?).ok()
}

fn check_peer(item: Value<'_>, problems: &mut Problems) -> Option<IpAddr> {
    let text = item.text("the address of a router", problems)?;
    let Ok(peer) = text.parse::<IpAddr>() else {
        let message = format!("`{}` is not an address", shown(text));
        item.wrong_with_help(message, "write it as 192.0.2.1", problems);
        return None;
    };
    if peer.is_multicast() || peer.is_unspecified() || peer.is_loopback() {
        item.wrong(
            format!("{peer} cannot be the address of a router"),
            problems,
        );
        return None;
    }
    Some(peer)
}

/// Returns whether what is on the wire has the families of the addresses.
pub(super) fn fits_families(
    wire: Option<&Wire>,
    families: Option<&[(Family, Vec<VirtualAddress>)]>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> bool {
    let mut fits = true;
    for (family, _) in families.into_iter().flatten() {
        let Some(wire) = wire else { continue };
        if let (Version::V2, Family::Ipv6, Some(at)) = (wire.version, family, fields.get("version"))
        {
            let help = "put the IPv6 addresses into an entry of their own, with version 3";
            at.wrong_with_help("version 2 has no IPv6", help, problems);
            fits = false;
        }
        let has_peer = wire.peers.iter().any(|peer| Family::of(*peer) == *family);
        if let (false, Some(at)) = (has_peer, fields.get("peers")) {
            let message = format!("no peer is of {family}, but an address is");
            let help = "name the peers of both families, or make an entry for each";
            problems.add_with_help(at.key, message, help);
            fits = false;
        }
    }
    fits
}

/// The form that is sent; what arrives may have either.
fn check_checksum(fields: &Fields<'_>, problems: &mut Problems) -> Option<ChecksumForm> {
    let Some(value) = fields.get("checksum") else {
        return Some(ChecksumForm::Rfc5798);
    };
    match value.text("rfc5798 or rfc9568", problems)? {
        "rfc5798" => Some(ChecksumForm::Rfc5798),
        "rfc9568" => Some(ChecksumForm::Rfc9568),
        other => {
            let message = format!(
                "checksum must be rfc5798 or rfc9568, not `{}`",
                shown(other)
            );
            value.wrong(message, problems);
            None
        }
    }
}

fn check_authentication(value: Value<'_>, problems: &mut Problems) -> Option<Authentication> {
    let fields = value.fields(&["password"], problems)?;
    let password = fields.need("password", "s3cret", problems)?;
    let text = password.text("a password", problems)?;
    let authentication = Authentication::password(text);
    if authentication.is_none() {
        let help = "keepalived cuts longer ones; write its first eight";
        password.wrong_with_help("a password has 1 to 8 bytes", help, problems);
    }
    authentication
}

/// What a TTL has room for.
const HOPS_MAX: u32 = 254;
