//! What the experiments are made of: a link with two nodes, a witness, a client, a forger, and
//! figures.

pub mod report;
pub mod capture;
pub mod link;
pub mod daemon;
pub mod client;
pub mod forge;
pub mod usage;
