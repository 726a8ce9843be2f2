//! What is in the memory of another process.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::unistd::Pid;

/// Something that is looked for.
pub(crate) struct Needle {
    bytes: Vec<u8>,
    words: BTreeSet<[u8; 8]>,
}

impl Needle {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let words = bytes.windows(8).filter_map(|word| word.try_into().ok());
        Self {
            bytes: bytes.to_vec(),
            words: words.collect(),
        }
    }

    /// Returns whether so many bytes of it in a row are somewhere in there. Such a run has a word
    /// at a multiple of eight.
    fn is_in(&self, memory: &[u8]) -> bool {
        let mut words = memory.chunks_exact(8).enumerate();
        words.any(|(number, word)| {
            if !self.words.contains(word) {
                return false;
            }
            let at = number * 8;
            let around = &memory[at.saturating_sub(RUN)..(at + RUN).min(memory.len())];
            let mut runs = around.windows(RUN);
            runs.any(|run| self.bytes.windows(RUN).any(|wanted| wanted == run))
        })
    }
}

/// Returns which of these have sixteen bytes in a row in the memory of a process.
pub(crate) fn found_in(pid: Pid, needles: &[Needle]) -> Vec<bool> {
    let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
    let memory = open("mem").unwrap_or_else(|error| {
        panic!("this test needs root (CAP_SYS_PTRACE), to look into the memory of others: {error}")
    });
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut found = vec![false; needles.len()];
    let mut looked_at = 0;
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        // The kernel's own pages cannot be read.
        if !rights.starts_with('r') || map.contains("[v") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut at = from;
        while at < to {
            let len = usize::try_from((to - at).min(PIECE)).unwrap();
            let mut piece = vec![0; len];
            if memory.read_exact_at(&mut piece, at).is_ok() {
                looked_at += len;
                for (found, needle) in found.iter_mut().zip(needles) {
                    *found = *found || needle.is_in(&piece);
                }
            }
            // The pieces overlap.
            at += if at + PIECE < to { PIECE - 4096 } else { PIECE };
        }
    }
    assert!(looked_at > 1 << 20, "{looked_at} bytes of {pid}");
    found
}

/// So many bytes in a row are no chance.
const RUN: usize = 16;
const PIECE: u64 = 16 << 20;
