//! What is derived from the secret that the nodes of the group share: by HKDF (RFC 5869), with the
//! hour, so that all of them have the same keys at the same time and tell each other nothing.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;

use crate::ipc::message::{SECRET_BYTES_MIN, Secrets, TicketSecret};
use crate::model::SecretBytes;

/// The secrets, the one that is used first.
#[derive(PartialEq, Eq)]
pub(super) struct Roots {
    secrets: Vec<Vec<u8>>,
    /// Whether nobody else has them.
    own: bool,
}

impl Roots {
    /// Returns one that nobody else has.
    pub(super) fn of_one_node() -> Self {
        let mut bytes = vec![0; 32];
        // Without chance there is no key that nobody knows: then nothing is derived.
        let filled = rand::fill(&mut bytes).is_ok();
        Self {
            secrets: filled.then_some(bytes).into_iter().collect(),
            own: true,
        }
    }

    /// Returns whether nobody else has them.
    pub(super) const fn are_of_one_node(&self) -> bool {
        self.own
    }

    /// Reads them from the texts of their files.
    ///
    /// # Errors
    /// When one is too short, or there is none.
    pub(super) fn read(texts: Vec<Vec<u8>>) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("no file came with it".to_owned());
        }
        let mut roots = Vec::new();
        for text in texts {
            let secret = text.trim_ascii_end();
            if secret.len() < SECRET_BYTES_MIN {
                return Err(format!(
                    "the secret has {} bytes, and {SECRET_BYTES_MIN} are the least: `openssl rand \
                     -hex 32` makes one",
                    secret.len()
                ));
            }
            roots.push(secret.to_vec());
        }
        Ok(Self {
            secrets: roots,
            own: false,
        })
    }

    /// Returns what is derived for an hour since 1970.
    pub(super) fn derive(&self, hour: u64) -> Secrets {
        let hours = (hour.saturating_sub(TicketSecret::HOURS_BEFORE)..=hour + 1).rev();
        let tickets = hours.flat_map(|hour| {
            let roots = self.secrets.iter();
            roots.filter_map(move |root| {
                let key = derive(root, b"session tickets", &hour.to_be_bytes())?;
                Some(TicketSecret { hour, key })
            })
        });
        let affinity = self.secrets.iter();
        Secrets {
            tickets: tickets.collect(),
            affinity: affinity
                .filter_map(|root| derive(root, b"affinity", b""))
                .collect(),
            of_one_node: self.own,
        }
    }
}

fn derive(root: &[u8], purpose: &[u8], of: &[u8]) -> Option<SecretBytes> {
    let extracted = Salt::new(HKDF_SHA256, b"evenkeel 1").extract(root);
    let mut bytes = [0; 32];
    let info = [purpose, of];
    extracted
        .expand(&info, HKDF_SHA256)
        .ok()?
        .fill(&mut bytes)
        .ok()?;
    Some(SecretBytes(bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::model::to_hex;

    fn roots(texts: &[&str]) -> Roots {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec());
        Roots::read(texts.collect()).unwrap()
    }

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// Another version of the program on the other node derives the same.
    #[test]
    fn what_is_derived_does_not_change() {
        let secrets = roots(&[SECRET]).derive(498_911);
        let tickets = secrets.tickets.iter();
        let tickets: Vec<(u64, String)> = tickets.map(|it| (it.hour, to_hex(&it.key.0))).collect();
        // Made by Python's hmac, after RFC 5869.
        let hoped = [
            (
                498912,
                "e99a8b2886f6b16223af34f642d061b6980935af21b19c1bcc1eb9a16fc3878b",
            ),
            (
                498911,
                "3d6dfdf5f9184f0b511ddb5eca5a052c6b14347685b6bb25bb1be246cec771ec",
            ),
            (
                498910,
                "7dc66f17eeff81867f1f23be4bd2a0ea1f7709b6a97575dd882146a32091fb88",
            ),
            (
                498909,
                "c6a2303bbfe3bd4be36489a68b72eae02130da7853b591853ddb2f69fef6a3c7",
            ),
        ];
        assert_eq!(tickets, hoped.map(|(hour, key)| (hour, key.to_owned())));
        let affinity = "84968b43e67e390ce87243c34f04bed4d5f471ccc94bc6e713c0cb88620ff13f";
        assert_eq!(to_hex(&secrets.affinity[0].0), affinity);
    }

    #[test]
    fn hours_overlap_and_end_and_secrets_are_rotated_one_after_another() {
        let secret = roots(&[SECRET]);
        let (now, next) = (secret.derive(100), secret.derive(101));
        assert_eq!(now.tickets[..3], next.tickets[1..]);
        assert_eq!(now.affinity, next.affinity);
        assert_eq!(
            roots(&[&format!("{SECRET}\n")]).derive(100),
            now,
            "a last line"
        );
        let other = "f".repeat(32);
        let both = roots(&[&other, SECRET]).derive(100);
        assert_eq!(both.tickets.len(), 8);
        let of = |hour: u64| both.tickets.iter().filter(move |it| it.hour == hour);
        assert_ne!(of(100).next().unwrap().key, now.tickets[1].key);
        assert!(of(100).any(|it| it.key == now.tickets[1].key));
        assert_eq!(both.affinity[1..], now.affinity[..]);
        let own = Roots::of_one_node().derive(100);
        assert_ne!(own, Roots::of_one_node().derive(100), "nobody else's");
    }

    #[test]
    fn a_short_secret_is_refused_with_how_to_make_one() {
        let error = Roots::read(vec![b"secret\n".to_vec()]).err().unwrap();
        assert!(
            error.contains("6 bytes") && error.contains("openssl rand"),
            "{error}"
        );
    }
}
