//! What a virtual router counts: the statistics of RFC 8347, in today's words, and those that
//! explain us.
//!
//! Rejected packets are counted here and nowhere touch the state machine.

use super::packet::Rejection;

/// Declares the counters once: field, documentation and the name under which it is shown.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The statistics of RFC 8347 and beyond. All count since the router was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Returns every counter with its stable name, in the order of declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Adds what another has counted.
            pub const fn add(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Times it became Active (`master-transitions`).
    active_transitions,
    /// Advertisements that passed every check (`advertisement-rcvd`).
    advertisements_received,
    /// Advertisements handed to the shell for sending, priority 0 included (`advertisement-sent`).
    advertisements_sent,
    /// Advertisements with priority 0 received (`priority-zero-pkts-rcvd`).
    priority_zero_received,
    /// Advertisements with priority 0 sent (`priority-zero-pkts-sent`).
    priority_zero_sent,
    /// Received with an interval of zero, rejected, or another than ours, accepted
    /// (`interval-errors`).
    interval_errors,
    /// Received with an empty address list or none of our addresses, rejected, or another list than
    /// ours, accepted (`address-list-errors`).
    address_list_errors,
    /// Rejected: not an advertisement (`invalid-type-pkts-rcvd`).
    invalid_type_received,
    /// Rejected: length and address count disagree (`packet-length-errors`).
    packet_length_errors,
    /// Rejected: checksum (`checksum-errors`).
    checksum_errors,
    /// Rejected: version (`version-errors`).
    version_errors,
    /// Rejected: VRID (`vrid-errors`).
    vrid_errors,
    /// Rejected: TTL or hop limit (`ip-ttl-errors`).
    ip_ttl_errors,
    /// Rejected: version 2 with another authentication or password.
    authentication_errors,
    /// Rejected: from no peer of ours, or by multicast where peers are unicast, or the other way
    /// round.
    stranger_errors,
    /// Rejected: CARP, another protocol with VRRP's number.
    carp_received,
    /// Ignored: sent from our own address.
    own_source_received,
    /// IPv6 advertisements that do not begin with a link-local address, accepted.
    link_local_missing,
    /// Advertisements heard while Active from a peer that must yield: moments with two Actives.
    lower_priority_received,
    /// Advertisements with priority 255 heard by an owner: two owners are configured.
    owner_conflicts,
    /// Re-elections because the priority was lowered while Active.
    demotions,
    /// Times it woke later than its peers' patience and gave everything up.
    stalls,
    /// Times the host could not install or renew the addresses.
    apply_failures,
    /// Times another machine claimed one of the addresses by ARP or neighbor discovery while we
    /// were Active.
    address_claims,
    /// Announcements handed to the shell.
    announcements_sent,
}

impl Counters {
    /// Counts a packet that was rejected; this is all that a rejected packet does.
    pub fn count_rejection(&mut self, rejection: Rejection) {
        self.count_rejections(rejection, 1);
    }

    /// Counts so many packets that were rejected for the same reason.
    pub fn count_rejections(&mut self, rejection: Rejection, count: u64) {
        let counter = match rejection {
            Rejection::HopLimit => &mut self.ip_ttl_errors,
            Rejection::Version => &mut self.version_errors,
            Rejection::Type => &mut self.invalid_type_received,
            Rejection::Length => &mut self.packet_length_errors,
            Rejection::Checksum => &mut self.checksum_errors,
            Rejection::Vrid => &mut self.vrid_errors,
            Rejection::CountZero | Rejection::Addresses => &mut self.address_list_errors,
            Rejection::IntervalZero | Rejection::IntervalMismatch => &mut self.interval_errors,
            Rejection::OwnSource => &mut self.own_source_received,
            Rejection::Carp => &mut self.carp_received,
            Rejection::Destination | Rejection::Peer => &mut self.stranger_errors,
            Rejection::AuthenticationType | Rejection::AuthenticationData => {
                &mut self.authentication_errors
            }
        };
        *counter += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_moves_exactly_one_counter() {
        for rejection in Rejection::ALL {
            let mut counters = Counters::default();
            counters.count_rejection(rejection);
            let sum: u64 = counters.iter().map(|(_, value)| value).sum();
            assert_eq!(sum, 1, "{} is counted once", rejection.as_str());
        }
    }
}
