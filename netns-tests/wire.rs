//! What a machine sees on its link: frames, and which hardware address they claim for which
//! address.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel::lab::namespace::host::Host;
use socket2::{Domain, Protocol, Socket, Type};

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// Everything that arrives at a host's eth0, until it is dropped.
pub(crate) struct Capture {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    pub(crate) fn start(host: &Host) -> Self {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (into, until) = (Arc::clone(&frames), Arc::clone(&over));
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let listen = move || {
            let protocol = Protocol::from(i32::from(ALL_PROTOCOLS.to_be()));
            let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
            socket.set_read_timeout(Some(TURN)).unwrap();
            ready.send(()).unwrap();
            let mut buf = [0; 4096];
            while !until.load(Ordering::Relaxed) {
                if let Ok(len) = socket.read(&mut buf) {
                    let mut frames = into.lock().unwrap();
                    if frames.len() < FRAMES_MAX {
                        frames.push(buf[..len].to_vec());
                    }
                }
            }
        };
        let thread = host.thread("capture", listen).unwrap();
        opened.recv().unwrap();
        Self {
            frames,
            over,
            thread: Some(thread),
        }
    }

    /// Returns the frames so far.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        self.frames.lock().unwrap().clone()
    }

    /// Returns every hardware address that ARP or neighbor discovery claimed for an address, in
    /// what arrived.
    pub(crate) fn claims(&self, address: IpAddr) -> BTreeSet<Mac> {
        let frames = self.frames();
        let claims = frames.iter().filter_map(|frame| claim(frame));
        claims
            .filter(|(claimed, _)| *claimed == address)
            .map(|(_, mac)| mac)
            .collect()
    }

    /// Returns the Ethernet sources of VRRP packets.
    pub(crate) fn advertisers(&self) -> BTreeSet<Mac> {
        let frames = self.frames();
        let vrrp = frames.iter().filter(|frame| {
            frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(23) == Some(&112)
                || frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&112)
        });
        vrrp.map(|frame| frame[6..12].try_into().unwrap()).collect()
    }

    /// Returns the Ethernet sources with a virtual MAC of reports of multicast groups (MLD), with
    /// this source address or any.
    pub(crate) fn reporters(&self, source: Option<Ipv6Addr>) -> BTreeSet<Mac> {
        let frames = self.frames();
        // Behind a hop-by-hop header with the router alert.
        let reports = frames.iter().filter(|frame| {
            frame.get(12..14) == Some(&[0x86, 0xdd])
                && frame.get(20) == Some(&0)
                && frame.get(62) == Some(&143)
                && source.is_none_or(|source| frame.get(22..38) == Some(&source.octets()))
        });
        let sources = reports.map(|frame| <Mac>::try_from(&frame[6..12]).unwrap());
        sources.filter(|mac| mac[..4] == [0, 0, 0x5e, 0]).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads what an ARP packet, a neighbor advertisement or a neighbor solicitation says of its sender
/// or target.
fn claim(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let mac = |at: usize| Some(frame.get(at..at + 6)?.try_into().unwrap());
    let v6 = |at: usize| {
        let octets: [u8; 16] = frame.get(at..at + 16)?.try_into().unwrap();
        Some(IpAddr::from(octets))
    };
    match frame.get(12..14)? {
        [0x08, 0x06] => {
            let sender: [u8; 4] = frame.get(28..32)?.try_into().unwrap();
            Some((IpAddr::from(sender), mac(22)?))
        }
        [0x86, 0xdd] if frame.get(20) == Some(&58) => match frame.get(54)? {
            136 if frame.get(78) == Some(&2) => Some((v6(62)?, mac(80)?)),
            135 if frame.get(78) == Some(&1) => Some((v6(22)?, mac(80)?)),
            _ => None,
        },
        _ => None,
    }
}

const ALL_PROTOCOLS: u16 = 3;
const FRAMES_MAX: usize = 100_000;
const TURN: Duration = Duration::from_millis(20);
