//! Filters of sockets that hear a whole link, in classic BPF: the kernel passes on what is meant,
//! so that a busy link costs nothing. They refuse to know what it is for.

use socket2::SockFilter;

/// Lets packets pass whose word at an offset is one of these, and whose first byte is `kind`. With
/// more words than a jump is long, all of the kind pass.
pub fn words(at: u32, words: &[u32], kind: Option<u8>) -> Vec<SockFilter> {
    let mut program = Vec::new();
    if let Some(kind) = kind {
        program.push(SockFilter::new(BPF_LOAD_BYTE, 0, 0, 0));
        program.push(SockFilter::new(BPF_JUMP_IF_EQUAL, 1, 0, kind.into()));
        program.push(SockFilter::new(BPF_RETURN, 0, 0, 0));
    }
    if words.len() < usize::from(u8::MAX) {
        program.push(SockFilter::new(BPF_LOAD_WORD, 0, 0, at));
        for (index, word) in words.iter().enumerate() {
            let to_pass = (words.len() - index) as u8;
            program.push(SockFilter::new(BPF_JUMP_IF_EQUAL, to_pass, 0, *word));
        }
        program.push(SockFilter::new(BPF_RETURN, 0, 0, 0));
    }
    program.push(SockFilter::new(BPF_RETURN, 0, 0, u32::MAX));
    program
}

/// Lets packets pass whose first byte is one of these, a few.
pub fn kinds(kinds: &[u8]) -> Vec<SockFilter> {
    let load = SockFilter::new(BPF_LOAD_BYTE, 0, 0, 0);
    among(vec![load], kinds)
}

/// Lets IPv4 packets pass, with their header, that are ICMP of this type.
pub fn icmp_v4(kind: u8) -> Vec<SockFilter> {
    let skip_header = SockFilter::new(BPF_LOAD_HEADER_LEN, 0, 0, 0);
    let load = SockFilter::new(BPF_LOAD_BYTE_BEHIND, 0, 0, 0);
    among(vec![skip_header, load], &[kind])
}

fn among(mut program: Vec<SockFilter>, kinds: &[u8]) -> Vec<SockFilter> {
    for (index, kind) in kinds.iter().enumerate() {
        let to_pass = (kinds.len() - index) as u8;
        program.push(SockFilter::new(
            BPF_JUMP_IF_EQUAL,
            to_pass,
            0,
            (*kind).into(),
        ));
    }
    program.push(SockFilter::new(BPF_RETURN, 0, 0, 0));
    program.push(SockFilter::new(BPF_RETURN, 0, 0, u32::MAX));
    program
}

/// `ldb`, `ld`, `jeq`, `ret`, `ldxb 4*([0]&0xf)` and `ldb [x + 0]`.
const BPF_LOAD_BYTE: u16 = 0x30;
const BPF_LOAD_WORD: u16 = 0x20;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
const BPF_RETURN: u16 = 0x06;
const BPF_LOAD_HEADER_LEN: u16 = 0xb1;
const BPF_LOAD_BYTE_BEHIND: u16 = 0x50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_short_enough_for_the_kernel() {
        for count in [0, 1, 2, 254, 255, 1000] {
            let all: Vec<u32> = (0..count).collect();
            let program = words(28, &all, Some(136));
            assert!(program.len() <= 262, "{count}");
        }
        assert_eq!(kinds(&[136, 129]).len(), 5);
        assert_eq!(icmp_v4(0).len(), 5);
    }
}
