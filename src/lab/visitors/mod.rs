//! Visitors: traffic as it is, with connections that are kept, beside the probe's fresh and short
//! requests.
//!
//! Many visitors are idle most of the time, some busy; some post, wait long for an answer, download
//! or upload slowly, or talk over WebSockets. Each answer carries its request's token, so that a
//! wrong one is found. What an event costs them is counted between [`Visitors::begin`] and
//! [`Visitors::end`], by kind. One thread does it all; begin to read at [`party::Visitors`].

pub mod crowd;
pub mod visits;
pub mod line;
pub mod ask;
pub mod book;
pub mod visitor;
pub mod party;
pub mod errands;

pub use crowd::{Crowd, Habits, Kind};
pub use errands::{Errand, Errands};
pub use party::Visitors;
pub use visits::{Tally, Visits};
