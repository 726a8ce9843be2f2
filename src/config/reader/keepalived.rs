//! What keepalived calls things: a key in its manner is answered with ours.
//!
//! Only for the help of an error; nothing is read in its manner.

/// Returns how to say here what keepalived says with a word.
pub(super) fn translation(word: &str) -> Option<&'static str> {
    let found = WORDS.iter().find(|(theirs, _)| *theirs == word);
    found.map(|(_, ours)| *ours)
}

/// Theirs, and ours.
const WORDS: &[(&str, &str)] = &[
    (
        "vrrp_instance",
        "each is an entry of `virtual_routers`, by its name",
    ),
    (
        "vrrp_sync_group",
        "write `synchronize_with: [...]` in one of the entries",
    ),
    ("virtual_router_id", "write `vrid: 51`"),
    (
        "state",
        "leave it out: every node starts as Backup, and `priority` decides",
    ),
    ("advert_int", "write `advertisement_interval: 1s`"),
    ("virtual_ipaddress", "write `addresses: [192.0.2.100/24]`"),
    (
        "virtual_ipaddress_excluded",
        "write them under `addresses` too: one advertisement has room for 255",
    ),
    (
        "vrrp_script",
        "each is an entry of `track_scripts`, by its name",
    ),
    (
        "track_script",
        "write `track: [{script: NAME, on_failure: {lower_by: 60}}]`",
    ),
    (
        "track_interface",
        "write `track: [{interface: eth1, on_failure: fault}]`",
    ),
    (
        "track_process",
        "write `track: [{process: {name: postfix}}]`",
    ),
    (
        "track_file",
        "write `track: [{file: /run/weight, raise_by: content}]`",
    ),
    (
        "weight",
        "write `on_failure: {lower_by: 60}`, or `raise_by: 60`",
    ),
    (
        "script_user",
        "write `user: evenkeel-script`; a script is never root's",
    ),
    ("dev", "write `address_interface: eth1` in the entry"),
    (
        "auth_type",
        "write `authentication: {password: ...}`, with `version: 2`",
    ),
    (
        "auth_pass",
        "write `authentication: {password: ...}`, with `version: 2`",
    ),
    ("nopreempt", "write `preempt: false`"),
    ("preempt_delay", "write `preempt: {delay: 30s}`"),
    (
        "unicast_peer",
        "write `peers: [192.0.2.1, 192.0.2.2]`, all nodes of the group",
    ),
    (
        "unicast_src_ip",
        "write this node's address among `peers`: it is the source",
    ),
    (
        "mcast_src_ip",
        "leave it out: the source is the address of the interface",
    ),
    (
        "min_ttl",
        "write `peer_hops: 1`, the number of routers between the peers",
    ),
    (
        "unicast_ttl",
        "leave it out: it is 255; `peer_hops: 1` allows routers on the way",
    ),
    ("use_vmac", "write `virtual_mac: true`"),
    (
        "vmac_xmit_base",
        "leave it out: with `peers` it is so, without never",
    ),
    ("vrrp_version", "write `version: 2`, or leave it out for 3"),
    (
        "native_ipv6",
        "leave it out: an entry may have addresses of both families",
    ),
    ("garp_master_repeat", "write `announcements: {repeat: 5}`"),
    ("garp_master_delay", "write `announcements: {delay: 5s}`"),
    (
        "garp_master_refresh",
        "write `announcements: {refresh: 60s}`",
    ),
    ("down_timer_adverts", "write `down_multiplier: 3`"),
    ("no_accept", "write `accept: false`"),
    ("dont_track_primary", "write `link: {required: false}`"),
    ("vrrp_startup_delay", "write `link: {up_delay: 30s}`"),
    ("interface_up_down_delays", "write `link: {up_delay: 30s}`"),
    (
        "notify_master",
        "write `notify: [/etc/evenkeel/notify.sh]`: it is told the state",
    ),
    (
        "notify_backup",
        "write `notify: [/etc/evenkeel/notify.sh]`: it is told the state",
    ),
    (
        "notify_fault",
        "write `notify: [/etc/evenkeel/notify.sh]`: it is told the state",
    ),
    ("global_defs", "leave it out: there is nothing like it"),
    (
        "virtual_server",
        "write a listener with a pool, under `listeners` and `pools`",
    ),
    ("real_server", "write a backend, under `backends` of a pool"),
];
