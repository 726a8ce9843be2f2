//! The process that operators look at: the status page, its JSON, metrics and probes.
//!
//! What strangers may send is parsed here, where there is nothing to be had: it has no capability,
//! no file, no network but the sockets that it was passed, and no traffic goes through it. It asks
//! the supervisor over two lines as an operator does over the control socket (`asking`), keeps what
//! it was last told (`watched`), and shows that: `desk` says what is where, `page` and `metrics`
//! how it looks, `live` tells pages that are open what has changed. Read `run`, then `serving`.

mod metrics;
mod page;
mod answer;
mod asking;
mod changes;
mod desk;
mod history;
mod hosts;
mod live;
mod probes;
pub mod run;
mod serving;
mod watched;
