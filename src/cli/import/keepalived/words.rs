//! Words of keepalived that become nothing here, and why; what it does not know itself it passes
//! over.

use crate::cli::import::remarks::{Kind, Line, Remarks};

/// Keywords that name a program to be run.
pub const NOTIFY: [&str; 7] = [
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
    "notify_stop",
    "notify_deleted",
    "notify_master_rx_lower_pri",
];

/// Says what becomes of a line of a vrrp_instance that is carried over nowhere else.
pub fn remark_in_instance(line: &Line, remarks: &mut Remarks) {
    remark(line, &INSTANCE, "a vrrp_instance", remarks);
}

/// The same of a vrrp_sync_group.
pub fn remark_in_group(line: &Line, remarks: &mut Remarks) {
    remark(line, &GROUP, "a vrrp_sync_group", remarks);
}

/// The same of global_defs.
pub fn remark_in_globals(line: &Line, remarks: &mut Remarks) {
    let keyword = line.word(0);
    let of_processes = [
        "checker_",
        "bfd_",
        "lvs_",
        "nftables",
        "process_",
        "snmp",
        "enable_snmp",
    ];
    if of_processes.iter().any(|begin| keyword.starts_with(begin)) {
        remarks.otherwise(line, OF_KEEPALIVED);
        return;
    }
    remark(line, &GLOBALS, "global_defs", remarks);
}

/// Says what `vrrp_strict` does not do here.
pub fn strict(line: &Line, remarks: &mut Remarks) {
    let off = ["off", "no", "false"];
    if off.contains(&line.word(1)) {
        return;
    }
    let why = "what keepalived drops with it, all that is sent to the virtual addresses, is \
               answered here; `accept: false` drops it";
    remarks.otherwise(line, why);
}

fn remark(line: &Line, table: &[Row], whose: &str, remarks: &mut Remarks) {
    let keyword = line.word(0);
    let row = table.iter().find(|(_, words, _)| words.contains(&keyword));
    match row {
        Some((kind, _, why)) => remarks.add(*kind, line, *why),
        None => {
            let why = format!("keepalived 2.2 knows no {keyword} in {whose}, and passes over it");
            remarks.no_effect(line, why);
        }
    }
}

/// What becomes of some words, and why.
type Row = (Kind, &'static [&'static str], &'static str);

const OF_KEEPALIVED: &str = "it is about processes of keepalived";
const NO_MAIL: &str = "no mail is sent here: see `notify`, or `evenkeel events --follow`";
const CONTENTION: &str = "this follows the standard here: whoever wins announces again";
const OF_THE_LIST: &str = "addresses of advertisements are no reason to drop them here";

const INSTANCE: [Row; 10] = [
    (Kind::Otherwise, &["smtp_alert"], NO_MAIL),
    (
        Kind::Otherwise,
        &[
            "garp_lower_prio_delay",
            "garp_lower_prio_repeat",
            "lower_prio_no_advert",
            "higher_prio_send_advert",
            "garp_extra_if",
        ],
        CONTENTION,
    ),
    (Kind::Otherwise, &["skip_check_adv_addr"], OF_THE_LIST),
    (
        Kind::Otherwise,
        &["check_unicast_src", "unicast_fault_no_peer"],
        "only `peers` are believed here",
    ),
    (
        Kind::Otherwise,
        &[
            "vmac_xmit_base",
            "use_vmac_addr",
            "vmac_addr_prefix",
            "vmac_prefix",
        ],
        "`virtual_mac` has no variants here",
    ),
    (
        Kind::Otherwise,
        &[
            "old_unicast_checksum",
            "track_src_ip",
            "linkbeat_use_polling",
            "promote_secondaries",
            "kernel_rx_buf_size",
            "notify_priority_changes",
            "disable_local_igmp",
            "no_virtual_ipaddress",
            "timer_expired_backup",
            "snmp_name",
        ],
        "there is no such setting here, and need not be",
    ),
    (
        Kind::NoEffect,
        &["native_ipv6", "debug"],
        "keepalived does nothing with it either",
    ),
    (
        Kind::Lost,
        &["lvs_sync_daemon_interface", "lvs_sync_daemon"],
        "there is no LVS here",
    ),
    (Kind::Lost, &["track_bfd"], "there is no BFD here"),
    (
        Kind::Lost,
        &["vrf", "track_group"],
        "there is nothing like it here",
    ),
];

const GROUP: [Row; 4] = [
    (Kind::Otherwise, &["smtp_alert"], NO_MAIL),
    (
        Kind::Otherwise,
        &[
            "global_tracking",
            "sync_group_tracking_weight",
            "notify_priority_changes",
        ],
        "what one member follows counts for its own priority, and keeps all from being Active",
    ),
    (Kind::Lost, &["track_bfd"], "there is no BFD here"),
    (
        Kind::NoEffect,
        &["debug"],
        "keepalived does nothing with it either",
    ),
];

const GLOBALS: [Row; 9] = [
    (
        Kind::NoEffect,
        &["router_id", "smtp_helo_name"],
        "it is a name in mails, and decides nothing",
    ),
    (
        Kind::Otherwise,
        &[
            "notification_email",
            "notification_email_from",
            "smtp_server",
            "smtp_connect_timeout",
            "smtp_alert",
            "smtp_alert_vrrp",
            "smtp_alert_checker",
            "no_email_faults",
            "no_checker_emails",
        ],
        NO_MAIL,
    ),
    (
        Kind::Otherwise,
        &["enable_script_security", "script_user"],
        "programs of others than root are never run here, and none as root: track scripts run as \
         evenkeel-script, notify programs as evenkeel-notify",
    ),
    (Kind::Otherwise, &["vrrp_skip_check_adv_addr"], OF_THE_LIST),
    (
        Kind::Otherwise,
        &[
            "vrrp_garp_lower_prio_delay",
            "vrrp_garp_lower_prio_repeat",
            "vrrp_lower_prio_no_advert",
            "vrrp_higher_prio_send_advert",
            "vrrp_garp_extra_if",
            "vrrp_min_garp",
        ],
        CONTENTION,
    ),
    (
        Kind::Otherwise,
        &[
            "vrrp_priority",
            "vrrp_no_swap",
            "vrrp_rt_priority",
            "vrrp_rlimit_rttime",
            "vrrp_cpu_affinity",
            "vrrp_process_name",
            "vrrp_iptables",
            "vrrp_ipsets",
            "vrrp_check_unicast_src",
            "vrrp_notify_priority_changes",
            "vrrp_netlink_cmd_rcv_bufs",
            "vrrp_netlink_cmd_rcv_bufs_force",
            "vrrp_netlink_monitor_rcv_bufs",
            "vrrp_netlink_monitor_rcv_bufs_force",
            "vrrp_rx_bufs_policy",
            "vrrp_rx_bufs_multiplier",
            "dynamic_interfaces",
            "disable_local_igmp",
            "max_auto_priority",
            "min_auto_priority_delay",
            "enable_dbus",
            "dbus_service_name",
            "enable_traps",
            "use_pid_dir",
            "use_symlink_paths",
            "log_unknown_vrids",
            "default_interface",
            "umask",
            "random_seed",
            "reload_check_config",
            "reload_time_file",
            "reload_repeat",
            "reload_file",
            "config_save_dir",
            "tmp_config_directory",
            "include_check",
            "fifo_write_vrrp_states_on_reload",
            "data_use_instance",
            "rs_init_notifies",
            "shutdown_script_timeout",
            "startup_script_timeout",
            "script_priority",
            "json_version",
            "iproute_etc_dir",
            "iproute_usr_dir",
            "vmac_prefix",
            "vmac_addr_prefix",
        ],
        "it is done in our own way, or is about keepalived itself",
    ),
    (
        Kind::Lost,
        &[
            "notify_fifo",
            "notify_fifo_script",
            "vrrp_notify_fifo",
            "vrrp_notify_fifo_script",
        ],
        "there is no pipe here: see `evenkeel events --follow --json`",
    ),
    (
        Kind::Lost,
        &[
            "startup_script",
            "shutdown_script",
            "net_namespace",
            "net_namespace_ipvs",
            "instance",
        ],
        "that is for the unit of systemd here",
    ),
    (
        Kind::Lost,
        &["vrrp_mcast_group4", "vrrp_mcast_group6"],
        "advertisements go to the group of the standard, or to `peers`",
    ),
];
