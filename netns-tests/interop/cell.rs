//! The cells: what we are told, what the peer is told, and what shall come of it.

use std::time::Duration;

/// One way of being set up beside a peer.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub name: &'static str,
    pub peer: Peer,
    pub addresses: Addresses,
    /// Lines below our entry.
    pub ours: String,
    /// Lines of keepalived's instances, or FRR's version.
    pub theirs: String,
    /// Lines before keepalived's instances, and after them.
    pub around: (&'static str, &'static str),
    pub our_interval: Duration,
    pub their_interval: Duration,
    /// Skew_Time of version 2 is of a second, whatever the interval.
    pub version: u8,
    pub plot: Plot,
    /// A third node, of keepalived with priority 50.
    pub third: bool,
    /// It cannot share the machine with others.
    pub alone: bool,
}

/// Who is on the other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Keepalived,
    Frr,
}

/// Which addresses move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    Ipv4,
    Ipv6,
    Both,
}

impl Addresses {
    pub(super) fn list(self) -> &'static [&'static str] {
        match self {
            Self::Ipv4 => &[V4],
            Self::Ipv6 => &[V6],
            Self::Both => &[V4, V6],
        }
    }
}

/// What shall happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    /// The better one gets the addresses back whenever it returns.
    Usual,
    /// The better one owns the addresses: priority 255.
    Owner,
    /// It does not: `preempt: false`, `nopreempt`.
    Stays,
    /// It does so after a while.
    Delayed(Duration),
    /// Equal priorities: whoever is Active stays; after a partition the higher source address wins.
    Equal(Higher),
    /// Neither takes the other for one of its group.
    Strangers,
    /// The better one has one address more for a while.
    Growing,
}

/// Whose source address is higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Higher {
    Ours,
    Theirs,
}

/// Who has the higher priority, or starts first where they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Ours,
    Theirs,
}

impl Cell {
    fn new(name: &'static str, peer: Peer, addresses: Addresses) -> Self {
        Self {
            name,
            peer,
            addresses,
            ours: "advertisement_interval: 100ms".into(),
            theirs: match peer {
                Peer::Keepalived => "version 3\n  advert_int 0.1".into(),
                Peer::Frr => "3".into(),
            },
            around: ("", ""),
            our_interval: Duration::from_millis(100),
            their_interval: Duration::from_millis(100),
            version: 3,
            plot: Plot::Usual,
            third: false,
            alone: false,
        }
    }

    fn version_2(mut self) -> Self {
        self.version = 2;
        self.ours = "version: 2".into();
        self.theirs = match self.peer {
            Peer::Keepalived => "version 2\n  advert_int 1".into(),
            Peer::Frr => "2".into(),
        };
        self.intervals(1000, 1000)
    }

    const fn intervals(mut self, ours_ms: u64, theirs_ms: u64) -> Self {
        self.our_interval = Duration::from_millis(ours_ms);
        self.their_interval = Duration::from_millis(theirs_ms);
        self
    }

    fn with(mut self, ours: &str, theirs: &str) -> Self {
        for (lines, more, indent) in [
            (&mut self.ours, ours, "\n    "),
            (&mut self.theirs, theirs, "\n  "),
        ] {
            if !more.is_empty() {
                lines.push_str(indent);
                lines.push_str(more);
            }
        }
        self
    }

    const fn plot(mut self, plot: Plot) -> Self {
        self.plot = plot;
        self
    }

    /// Returns the longer of both intervals.
    pub(super) fn interval(&self) -> Duration {
        self.our_interval.max(self.their_interval)
    }

    /// Returns the longest Skew_Time of a priority of 50 or more.
    pub(super) fn skew_max(&self) -> Duration {
        let base = if self.version == 2 {
            Duration::from_secs(1)
        } else {
            self.interval()
        };
        base * 206 / 256
    }

    /// Returns the longest Active_Down_Interval.
    pub(super) fn down_max(&self) -> Duration {
        3 * self.interval() + self.skew_max()
    }
}

/// Returns every cell, in the order of the table.
pub(super) fn all() -> Vec<Cell> {
    use Addresses::{Both, Ipv4, Ipv6};
    use Peer::{Frr, Keepalived};
    let keepalived = |name, addresses| Cell::new(name, Keepalived, addresses);
    // Its vrrpd is no realtime process: at 100 ms it misses three in a row when several cells share
    // two cores.
    let frr_version_3 = |name, addresses| {
        let mut cell = Cell::new(name, Frr, addresses).intervals(300, 300);
        cell.ours = "advertisement_interval: 300ms".into();
        cell
    };
    let pass = "authentication {\n    auth_type PASS\n    auth_pass s3cret\n  }";
    let our_pass = |word: &str| format!("authentication: {{password: {word}}}");
    let our_peers = |count: u8| {
        let peers: Vec<String> = (1..=count).map(|n| format!("192.0.2.{n}")).collect();
        format!("peers: [{}]", peers.join(", "))
    };
    let mut three = keepalived("v3 unicast, 3 nodes", Ipv4).with(&our_peers(3), "UNICAST");
    three.third = true;
    let mut fast = keepalived("v3 10 ms", Ipv4).intervals(10, 10);
    fast.ours = "advertisement_interval: 10ms".into();
    fast.theirs = "version 3\n  advert_int 0.01".into();
    // Without it keepalived itself fails over by accident on a busy machine.
    fast.around.0 = "global_defs {\n  vrrp_rt_priority 50\n  vrrp_rlimit_rttime 100000\n}\n";
    fast.alone = true;
    let mut slower = keepalived("v3 ours 100 ms, theirs 300 ms", Ipv4).intervals(100, 300);
    slower.theirs = "version 3\n  advert_int 0.3".into();
    let mut quicker = keepalived("v3 ours 300 ms, theirs 100 ms", Ipv4).intervals(300, 100);
    quicker.ours = "advertisement_interval: 300ms".into();
    let mut group = keepalived("v3 sync group", Both);
    group.around.1 = "vrrp_sync_group all {\n  group {\n    four\n    six\n  }\n}\n";
    let delay = Duration::from_secs(1);
    vec![
        keepalived("v2", Ipv4).version_2(),
        keepalived("v2 PASS", Ipv4)
            .version_2()
            .with(&our_pass("s3cret"), pass),
        keepalived("v2 PASS, wrong password", Ipv4)
            .version_2()
            .with(&our_pass("other"), pass)
            .plot(Plot::Strangers),
        keepalived("v3 IPv4", Ipv4),
        keepalived("v3 IPv6", Ipv6),
        keepalived("v3 unicast, 2 nodes", Ipv4).with(&our_peers(2), "UNICAST"),
        three,
        keepalived("v3 use_vmac theirs", Ipv4).with("", "use_vmac"),
        keepalived("v3 use_vmac ours", Ipv4).with("virtual_mac: true", ""),
        keepalived("v3 use_vmac both", Both).with("virtual_mac: true", "use_vmac"),
        fast,
        slower,
        quicker,
        keepalived("v3 equal priorities, ours higher address", Ipv4)
            .plot(Plot::Equal(Higher::Ours)),
        keepalived("v3 equal priorities, theirs higher address", Ipv4)
            .plot(Plot::Equal(Higher::Theirs)),
        keepalived("v3 owner", Ipv4).plot(Plot::Owner),
        keepalived("v3 nopreempt", Ipv4)
            .with("preempt: false", "nopreempt")
            .plot(Plot::Stays),
        keepalived("v3 preempt delay", Ipv4)
            .with("preempt: {delay: 1s}", "preempt_delay 1")
            .plot(Plot::Delayed(delay)),
        group,
        keepalived("v3 address added on one first", Ipv4).plot(Plot::Growing),
        Cell::new("FRR v2", Frr, Ipv4).version_2(),
        frr_version_3("FRR v3 IPv4", Ipv4),
        frr_version_3("FRR v3 IPv6", Ipv6),
    ]
}

pub(super) const V4: &str = "192.0.2.100";
/// What the better one has more in [`Plot::Growing`].
pub(super) const V4_MORE: &str = "192.0.2.101";
pub(super) const V6: &str = "2001:db8::100";
/// What we derive from the VRID, 51.
pub(super) const LINK_LOCAL: &str = "fe80::112:33";
