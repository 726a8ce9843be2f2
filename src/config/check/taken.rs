//! What entries of the section `virtual_routers` have taken, which no later one may have.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::{Family, Vrid};

/// What earlier entries have taken.
#[derive(Debug, Default)]
pub(super) struct Taken<'a> {
    pub(super) vrids: HashMap<(&'a str, Vrid, Family), &'a str>,
    /// With the interface where they are only unique there.
    pub(super) addresses: HashMap<(IpAddr, Option<&'a str>), &'a str>,
}
