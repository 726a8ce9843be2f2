//! A connection that has stopped being HTTP: bytes both ways until one side ends it, it falls
//! silent, or it is cut.
//!
//! Silence is measured by the client connection's watch, as for bodies. A tunnel is never retried.

use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::watch::{Phase, Watch};
use crate::process::proxy::upstream::InFlight;

/// The two ends of a tunnel, on their way from HTTP.
pub(in crate::process::proxy) struct Tunnel {
    client: OnUpgrade,
    upstream: OnUpgrade,
    _in_flight: InFlight,
}

impl Tunnel {
    pub(in crate::process::proxy) fn new(
        client: OnUpgrade,
        upstream: OnUpgrade,
        in_flight: InFlight,
    ) -> Tunnel {
        Tunnel {
            client,
            upstream,
            _in_flight: in_flight,
        }
    }

    /// Relays until the end.
    pub(in crate::process::proxy) async fn run(self, watch: &Watch) {
        let both = async { tokio::try_join!(self.client, self.upstream) };
        let Ok(Ok((client, upstream))) = tokio::time::timeout(UPGRADE_TIMEOUT, both).await else {
            return;
        };
        watch.enter(Phase::Relaying);
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let copying =
            copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES);
        tokio::select! {
            // How it ended is between the two ends.
            _ = copying => {}
            () = watch.wake.notified() => {}
        }
    }
}

/// Both heads have been exchanged; only the hand-over is left.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
/// Each way.
const BUFFER_BYTES: usize = 16 * 1024;
