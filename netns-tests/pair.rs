//! A failover pair under traffic: what clients lose, and where the addresses are.

mod affinity;
mod endurance;
mod failover;
mod fallback;
mod hostile;
mod ranks;
mod reload;
mod track;
mod traffic;
