//! What was heard on a link, for people: who advertises, and what was refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::logic::vrrp::{Advertisement, ChecksumForm, Rejection};
use crate::model::{AdverInterval, Priority};

/// Somebody who advertises.
#[derive(Clone, Debug)]
pub struct HeardPeer {
    /// Its source address.
    pub address: IpAddr,
    /// What it last advertised.
    pub priority: Priority,
    /// The interval it last advertised.
    pub interval: Option<AdverInterval>,
    /// The first addresses it last listed: strangers do not fill our memory.
    pub addresses: Vec<IpAddr>,
    /// Whether it last listed the same addresses as we, in whatever order.
    pub agrees: bool,
    /// When.
    pub heard_at: Instant,
    /// How it last computed its checksum.
    pub form: ChecksumForm,
    /// How many advertisements came in each form.
    pub forms: BTreeMap<&'static str, u64>,
}

impl HeardPeer {
    pub(super) const fn new(address: IpAddr, now: Instant) -> Self {
        Self {
            address,
            priority: Priority::LEAVING,
            interval: None,
            addresses: Vec::new(),
            agrees: true,
            heard_at: now,
            form: ChecksumForm::Rfc5798,
            forms: BTreeMap::new(),
        }
    }

    pub(super) fn hear(&mut self, now: Instant, advertisement: &Advertisement, form: ChecksumForm) {
        self.priority = advertisement.priority;
        self.interval = Some(advertisement.interval);
        let shown = advertisement.addresses.len().min(ADDRESSES_SHOWN);
        let shown = &advertisement.addresses[..shown];
        if self.addresses != shown {
            self.addresses.clear();
            self.addresses.extend_from_slice(shown);
        }
        self.heard_at = now;
        self.form = form;
        *self.forms.entry(form.as_str()).or_default() += 1;
    }
}

/// Refused packets by reason.
#[derive(Clone, Debug, Default)]
pub struct Rejections {
    /// How many of each.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// The last whose source is known: when, from where, and why.
    pub last: Option<(Instant, IpAddr, Rejection)>,
    logged_at: Option<Instant>,
}

impl Rejections {
    /// Counts one and returns whether it is time to log again.
    pub fn count(&mut self, now: Instant, source: Option<IpAddr>, reason: Rejection) -> bool {
        *self.by_reason.entry(reason.as_str()).or_default() += 1;
        if let Some(source) = source {
            self.last = Some((now, source, reason));
        }
        let due = self
            .logged_at
            .is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
        if due {
            self.logged_at = Some(now);
        }
        due
    }
}

/// Returns a hardware address as people write it.
pub fn show_mac(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// Of the addresses that a peer lists.
const ADDRESSES_SHOWN: usize = 32;
/// Between two log lines about rejected packets of one kind of source.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(60);
