//! The tags of a pool's backends, by which cookies of clients name them: made for one generation,
//! and again where the keys change. What they mean is said in `logic::balance::affinity`.
//!
//! The keys come from the process `keys`, and the same ones on every node of a group. As long as
//! none has come nobody has a tag: no cookie is known, and none is given.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;

use crate::config::{CookieRules, PoolConfig};
use crate::logic::balance::affinity::{Tag, Tags, tagged};
use crate::model::SecretBytes;
use crate::process::proxy::tls::tickets::SharedSecrets;

/// How sessions stay on the backends of a pool, in one generation.
pub(in crate::process::proxy) struct Affinity {
    pub(in crate::process::proxy) rules: CookieRules,
    /// What a tag is the code of, by the index of its backend.
    tagged: Vec<Vec<u8>>,
    secrets: Arc<SharedSecrets>,
    made: Mutex<Made>,
}

/// Tags, and of which keys.
#[derive(Clone, Default)]
pub(in crate::process::proxy) struct Made {
    /// 0: of none.
    version: u64,
    pub(in crate::process::proxy) tags: Arc<Tags>,
}

impl Affinity {
    /// Returns that of a pool, if it has any. All tags are computed: not on a worker.
    pub(in crate::process::proxy) fn of(
        config: &PoolConfig,
        secrets: &Arc<SharedSecrets>,
    ) -> Option<Self> {
        let rules = config.affinity.clone()?;
        let backends = config.backends.iter();
        let affinity = Self {
            rules,
            tagged: backends
                .map(|backend| tagged(&config.name, &backend.name))
                .collect(),
            secrets: Arc::clone(secrets),
            made: Mutex::default(),
        };
        affinity.make();
        Some(affinity)
    }

    /// Returns whether these are the tags of the current keys.
    pub(in crate::process::proxy) fn is_current(&self, made: &Made) -> bool {
        made.version == self.secrets.affinity_version()
    }

    /// Returns the tags of the current keys, made anew where those have changed: by one thread for
    /// all, a millisecond for a thousand backends.
    pub(in crate::process::proxy) fn make(&self) -> Made {
        // A thread that panicked here left the tags whole.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_current(&made) {
            // The version first: keys that come meanwhile are of a later one.
            let version = self.secrets.affinity_version();
            let secrets = self.secrets.get();
            let of_keys: Vec<_> = secrets.affinity.iter().map(|key| self.tags(key)).collect();
            *made = Made {
                version,
                tags: Arc::new(Tags::new(&of_keys)),
            };
        }
        made.clone()
    }

    fn tags(&self, key: &SecretBytes) -> Vec<Tag> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
        let tags = self.tagged.iter().map(|text| {
            let code = hmac::sign(&key, text);
            let mut tag = Tag::default();
            // As long as half of the code (RFC 2104 §5).
            let len = tag.len();
            tag.copy_from_slice(&code.as_ref()[..len]);
            tag
        });
        tags.collect()
    }
}
