//! The nodes of a cell: ours, theirs, and a third; each can be started, stopped and killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::namespace::network::Lab;
use evenkeel::lab::node::Node;
use evenkeel::lab::process::Process;

use super::cell::{Addresses, Better, Cell, Higher, LINK_LOCAL, Peer, Plot, V4, V4_MORE, V6};
use super::client::Server;

/// Everything on one link.
pub(super) struct Link<'a> {
    cell: &'a Cell,
    // Dropped in this order: the daemons before their network.
    ours: Option<Node>,
    theirs: Vec<Process>,
    third: Option<Process>,
    _servers: Vec<Server>,
    scratch: tempfile::TempDir,
    pub hosts: [Arc<Host>; 2],
    third_host: Option<Arc<Host>>,
    pub client: Arc<Host>,
    pub lab: Lab,
}

/// A node's place in the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

impl Side {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Theirs => THEIRS,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }

    pub(super) const fn better(better: Better) -> Self {
        match better {
            Better::Ours => Self::Ours,
            Better::Theirs => Self::Theirs,
        }
    }
}

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    pub priority: u8,
    /// It has one address more.
    pub grown: bool,
}

impl<'a> Link<'a> {
    pub(super) fn new(cell: &'a Cell) -> Self {
        let mut lab = Lab::new().unwrap();
        // Where equal priorities shall fall to us, our address is the higher one.
        let ours = if cell.plot == Plot::Equal(Higher::Ours) {
            4
        } else {
            1
        };
        let mut add = |name: &str, number: u8| {
            let addresses = [
                format!("192.0.2.{number}/24"),
                format!("2001:db8::{number}/64"),
            ];
            lab.add_host(name, &addresses.each_ref().map(String::as_str))
                .unwrap()
        };
        let hosts = [add(OURS, ours), add(THEIRS, 2)];
        let third_host = cell.third.then(|| add(THIRD, 3));
        let client = add("client", 9);
        let mut servers = vec![
            Server::start(&hosts[0], OURS),
            Server::start(&hosts[1], THEIRS),
        ];
        servers.extend(third_host.as_ref().map(|host| Server::start(host, THIRD)));
        let scratch = tempfile::tempdir().unwrap();
        // FRR works there as a user of its own.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut link = Self {
            cell,
            ours: None,
            theirs: Vec::new(),
            third: None,
            _servers: servers,
            scratch,
            hosts,
            third_host,
            client,
            lab,
        };
        if cell.peer == Peer::Frr {
            link.make_macvlans();
        }
        if let Some(host) = link.third_host.clone() {
            let text = link.keepalived_text(Rank::of(50), 3);
            link.third = Some(link.start_keepalived(&host, "third", &text));
        }
        link
    }

    pub(super) fn start(&mut self, side: Side, rank: Rank) {
        match (side, self.cell.peer) {
            (Side::Ours, _) => {
                let yaml = self.our_text(rank);
                let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
                self.ours = Some(Node::start(&self.hosts[0], &yaml, OURS, binary).unwrap());
            }
            (Side::Theirs, Peer::Keepalived) => {
                let text = self.keepalived_text(rank, 2);
                let host = Arc::clone(&self.hosts[1]);
                self.theirs = vec![self.start_keepalived(&host, "keepalived", &text)];
            }
            (Side::Theirs, Peer::Frr) => self.start_frr(rank.priority),
        }
    }

    /// Has a node stop by itself; it may take its time to end.
    pub(super) fn stop(&mut self, side: Side) {
        match side {
            Side::Ours => self.ours.as_mut().unwrap().process().terminate().unwrap(),
            Side::Theirs => self.theirs.last_mut().unwrap().terminate().unwrap(),
        }
    }

    /// Waits until a node that was told to stop has ended.
    pub(super) fn wait_for_end(&mut self, side: Side) {
        match side {
            Side::Ours => {
                self.ours
                    .as_mut()
                    .unwrap()
                    .process()
                    .wait(PATIENCE)
                    .unwrap();
            }
            Side::Theirs => {
                self.theirs.last_mut().unwrap().wait(PATIENCE).unwrap();
            }
        }
    }

    /// Kills every process of a node.
    pub(super) fn kill(&mut self, side: Side) {
        match side {
            Side::Ours => self.ours.as_mut().unwrap().process().kill_family().unwrap(),
            Side::Theirs => {
                for process in &mut self.theirs {
                    process.kill_family().unwrap();
                }
                // A dead vrrpd leaves its macvlans answering; a dead machine, of which this tells,
                // does not.
                if self.cell.peer == Peer::Frr {
                    for name in MACVLANS {
                        self.their_ip(&protodown(name));
                    }
                }
            }
        }
    }

    pub(super) fn ours(&mut self) -> &mut Node {
        self.ours.as_mut().unwrap()
    }

    /// Returns what everybody said, for a failure.
    pub(super) fn logs(&self) -> String {
        let theirs: Vec<String> = self.theirs.iter().map(Process::log).collect();
        let ours = self.ours.as_ref().map(|node| {
            let status = node
                .status()
                .map(|status| format!("{:#?}", status.virtual_routers));
            format!("{}\n{}", node.log(), status.unwrap_or_default())
        });
        let ask = |host: &Host, what: &str| {
            let mut command = Command::new("/usr/sbin/ip");
            command.args([what, "show"]);
            let mut process = host.spawn(command).unwrap();
            process.wait(PATIENCE).unwrap();
            process.log()
        };
        let addresses = self.hosts.each_ref().map(|host| ask(host, "address"));
        format!(
            "ours:\n{}\n{}\ntheirs:\n{}\n{}\nthe client's neighbors:\n{}",
            ours.unwrap_or_default(),
            addresses[0],
            theirs.join("\n"),
            addresses[1],
            ask(&self.client, "neighbor"),
        )
    }

    fn our_text(&self, rank: Rank) -> String {
        let mut addresses = Vec::new();
        if self.cell.addresses != Addresses::Ipv6 {
            addresses.push(format!("{V4}/24"));
        }
        if rank.grown {
            addresses.push(format!("{V4_MORE}/24"));
        }
        if self.cell.addresses != Addresses::Ipv4 {
            addresses.push(format!("\"{V6}/64\""));
        }
        let priority = if rank.priority == 255 {
            "owner: true".to_owned()
        } else {
            format!("priority: {}", rank.priority)
        };
        format!(
            "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    {priority}\n    \
             addresses: [{}]\n    {}\n",
            addresses.join(", "),
            self.cell.ours
        )
    }

    fn keepalived_text(&self, rank: Rank, number: u8) -> String {
        let peers = |number: u8| {
            let count = if self.cell.third { 3 } else { 2 };
            let others = (1..=count).filter(|other| *other != number);
            let lines: String = others
                .map(|other| format!("    192.0.2.{other}\n"))
                .collect();
            format!("unicast_peer {{\n{lines}  }}")
        };
        let lines = self.cell.theirs.replace("UNICAST", &peers(number));
        let instance = |name: &str, addresses: &str| {
            format!(
                "vrrp_instance {name} {{\n  interface eth0\n  virtual_router_id 51\n  \
                 priority {}\n  {}\n  {lines}\n  virtual_ipaddress {{\n{addresses}  }}\n}}\n",
                rank.priority,
                if rank.priority == 255 {
                    "state MASTER"
                } else {
                    ""
                }
            )
        };
        let more = if rank.grown {
            format!("    {V4_MORE}/24\n")
        } else {
            String::new()
        };
        let four = instance("four", &format!("    {V4}/24\n{more}"));
        let six = instance("six", &format!("    {LINK_LOCAL}/64\n    {V6}/64\n"));
        let instances = match self.cell.addresses {
            Addresses::Ipv4 => four,
            Addresses::Ipv6 => six,
            Addresses::Both => format!("{four}{six}"),
        };
        let (before, after) = self.cell.around;
        format!("{before}{instances}{after}")
    }

    fn start_keepalived(&self, host: &Host, name: &str, text: &str) -> Process {
        let path = self.scratch.path().join(format!("{name}.conf"));
        fs::write(&path, text).unwrap();
        start_keepalived(host, &path)
    }

    /// Makes what FRR's administrator makes: macvlans with the virtual MACs, and settings that let
    /// nobody else answer.
    fn make_macvlans(&self) {
        // vrrpd takes the macvlans of a Backup down, and with them IPv6 addresses would go.
        for (key, value) in [
            ("ipv4/conf/all/arp_ignore", "1"),
            ("ipv4/conf/all/arp_announce", "2"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/all/keep_addr_on_down", "1"),
        ] {
            let key = format!("net/{key}");
            self.hosts[1].set_sysctl(&key, value).unwrap();
        }
        let mut lines = Vec::new();
        for (name, mac, addresses) in [
            ("vrrp4", "00:00:5e:00:01:33", &[(V4, 24)][..]),
            (
                "vrrp6",
                "00:00:5e:00:02:33",
                &[(LINK_LOCAL, 64), (V6, 64)][..],
            ),
        ] {
            lines.push(format!(
                "link add {name} link eth0 type macvlan mode bridge"
            ));
            lines.push(format!("link set dev {name} addrgenmode none"));
            lines.push(format!("link set dev {name} address {mac}"));
            for (address, len) in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                lines.push(format!("addr add {address}/{len} dev {name}{nodad}"));
            }
            lines.push(format!("link set dev {name} up"));
            lines.push(protodown(name));
        }
        for line in lines {
            self.their_ip(&line);
        }
    }

    fn their_ip(&self, line: &str) {
        let mut command = Command::new("/usr/sbin/ip");
        command.args(line.split(' '));
        let mut process = self.hosts[1].spawn(command).unwrap();
        let status = process.wait(PATIENCE).unwrap();
        assert!(status.success(), "ip {line}: {}", process.log());
    }

    fn start_frr(&mut self, priority: u8) {
        assert!(
            Path::new(VRRPD).exists(),
            "FRR is missing: install Debian's package frr"
        );
        let directory = self.scratch.path();
        let version = &self.cell.theirs;
        let interval = self.cell.their_interval.as_millis();
        let addresses = match self.cell.addresses {
            Addresses::Ipv4 => format!(" vrrp 51 ip {V4}\n"),
            Addresses::Ipv6 => format!(" vrrp 51 ipv6 {LINK_LOCAL}\n vrrp 51 ipv6 {V6}\n"),
            Addresses::Both => {
                format!(" vrrp 51 ip {V4}\n vrrp 51 ipv6 {LINK_LOCAL}\n vrrp 51 ipv6 {V6}\n")
            }
        };
        let text = format!(
            "interface eth0\n vrrp 51 version {version}\n vrrp 51 priority {priority}\n \
             vrrp 51 advertisement-interval {interval}\n{addresses}"
        );
        fs::write(directory.join("vrrpd.conf"), text).unwrap();
        fs::write(directory.join("zebra.conf"), "").unwrap();
        self.theirs.clear();
        for (program, name) in [("/usr/lib/frr/zebra", "zebra"), (VRRPD, "vrrpd")] {
            let mut command = Command::new(program);
            command.args(["-A", "127.0.0.1", "--log", "stdout", "-f"]);
            command.arg(directory.join(format!("{name}.conf")));
            command.arg("-i").arg(directory.join(format!("{name}.pid")));
            command.arg("-z").arg(directory.join("zserv.api"));
            command.arg("--vty_socket").arg(directory);
            let socket = directory.join(format!("{name}.vty"));
            let _ = fs::remove_file(&socket);
            self.theirs.push(self.hosts[1].spawn(command).unwrap());
            let deadline = Instant::now() + PATIENCE;
            while !socket.exists() {
                assert!(Instant::now() < deadline, "{name} answers");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Rank {
    pub(super) const fn of(priority: u8) -> Self {
        Self {
            priority,
            grown: false,
        }
    }
}

/// As FRR does with the macvlans of a Backup: it keeps its addresses, and answers for none.
/// Starts a keepalived that reads this file and keeps its pidfiles beside it.
pub(crate) fn start_keepalived(host: &Host, config: &Path) -> Process {
    let program = KEEPALIVED
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    let program = program.expect("keepalived is missing: install Debian's package keepalived");
    let mut command = Command::new(program);
    command.args([
        "--dont-fork",
        "--log-console",
        "--log-detail",
        "--vrrp",
        "-f",
    ]);
    command.arg(config);
    for flag in ["-p", "-r"] {
        let file = config.with_extension(format!("{flag}.pid"));
        // It takes the one of a dead process for a reason not to start.
        let _ = fs::remove_file(&file);
        command.arg(flag).arg(file);
    }
    host.spawn(command).unwrap()
}

fn protodown(name: &str) -> String {
    format!("link set dev {name} protodown on")
}

const MACVLANS: [&str; 2] = ["vrrp4", "vrrp6"];
const OURS: &str = "ours";
const THEIRS: &str = "theirs";
const THIRD: &str = "third";
const PATIENCE: Duration = Duration::from_secs(20);
const KEEPALIVED: [&str; 3] = [
    "/usr/sbin/keepalived",
    "/sbin/keepalived",
    "/usr/local/sbin/keepalived",
];
const VRRPD: &str = "/usr/lib/frr/vrrpd";
