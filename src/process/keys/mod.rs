//! The process that keeps private keys, and nothing else: it signs what the proxy's workers ask it
//! to, and no key ever leaves it.
//!
//! It has no network, opens no file (it is given descriptors), and nobody reads its memory. A
//! proxy that was taken over can have things signed for as long as that lasts; it cannot take a key
//! along, and nothing that was said before can be read with a signature. Read `run`, then `pair`.

pub mod pair;
mod keyring;
mod lines;
mod reading;
mod secrets;
pub mod run;

pub(crate) use self::reading::pair_of;
