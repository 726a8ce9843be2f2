//! The checksum of version 2 (RFC 9260, appendix A), a bit at a time: it stands in few headers.

/// Returns the CRC32c of some bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let is_odd = sum & 1 == 1;
            (sum >> 1) ^ if is_odd { POLYNOMIAL } else { 0 }
        })
    });
    !sum
}

/// Castagnoli's, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;
