//! What the experiments are made of: a link with two nodes, a witness, a client, a forger, and
//! figures.

pub(crate) mod report;
pub(crate) mod capture;
pub(crate) mod link;
pub(crate) mod daemon;
pub(crate) mod client;
pub(crate) mod forge;
pub(crate) mod usage;
