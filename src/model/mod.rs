//! The words everybody uses: identifiers, priorities, intervals, names, addresses, and the text of
//! an error.
//!
//! Pure data, std and serde's derives only. A value of these types has been checked once; it is
//! made from raw numbers by `config::check` and by `logic::vrrp::packet` alone. Read `logic::vrrp`
//! next.

mod address;
mod adver_interval;
mod fitness;
mod names;
mod priority;
mod rank;
mod text;
mod tls;
mod version;
mod vrid;

pub use address::{Family, Network, VirtualAddress};
pub use adver_interval::AdverInterval;
pub use fitness::{FaultCause, Fitness};
pub use names::RouterName;
pub use priority::Priority;
pub use rank::Rank;
pub use text::{Chain, date_of_day, write_address, write_digits, write_number};
pub use tls::{Der, KeyId, SecretBytes, from_hex, to_hex};
pub use version::Version;
pub use vrid::Vrid;
