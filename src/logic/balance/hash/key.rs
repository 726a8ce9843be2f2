//! What is hashed, and how: SipHash-2-4 with fixed keys.
//!
//! The function is written out because its values are a contract between nodes, which may have
//! different versions. Its keys are known to everybody: who can choose the text of a key can choose
//! its backend too. Read `table` next.

use std::fmt;
use std::net::IpAddr;

use crate::logic::balance::limits::client_of;

/// What of a request says where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// The client's own address.
    SourceAddress,
    /// The path without the query, as the backend is sent it.
    Path,
    /// The first field of this name.
    Header(String),
    /// The first cookie of this name.
    Cookie(String),
}

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceAddress => f.write_str("source_address"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

/// The hash of what a request is given by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub(super) u64);

impl Key {
    /// Returns the key of a text.
    pub fn of(text: &[u8]) -> Self {
        Self(hash(OF_KEYS, text))
    }

    /// Returns the key of a client: of all its addresses, as far as they count as one.
    pub fn of_client(address: IpAddr) -> Self {
        match client_of(address) {
            IpAddr::V4(address) => Self::of(&address.octets()),
            IpAddr::V6(network) => Self::of(&network.octets()),
        }
    }
}

/// Returns SipHash-2-4 of a text ("SipHash: a fast short-input PRF", Aumasson and Bernstein, 2012).
pub(super) fn hash(key: [u64; 2], text: &[u8]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        compress(&mut state, u64::from_le_bytes(*word));
    }
    // The last word has what is left, and in its highest byte the length.
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = text.len().to_le_bytes()[0];
    compress(&mut state, u64::from_le_bytes(last));
    state[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn compress(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    round(state);
    state[0] ^= word;
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

/// For the keys of requests: any number that never changes.
const OF_KEYS: [u64; 2] = [0x6576_656e_6b65_656c, 1];

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the reference implementation: the bytes 0, 1, 2 and so on, under such a key.
    #[test]
    fn the_hash_is_siphash_2_4() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let text: Vec<u8> = (0..16).collect();
        for (len, hoped) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] {
            assert_eq!(hash(key, &text[..len]), hoped, "{len} bytes");
        }
    }

    #[test]
    fn clients_have_one_key_for_all_their_addresses() {
        let key = |text: &str| Key::of_client(text.parse().expect("it is an address"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"), "of one /64");
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
