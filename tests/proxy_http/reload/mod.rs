//! Another configuration while requests go on: what is changed changes, and nothing else notices.

mod connections;
mod listeners;
mod many;
mod pools;
mod size;
mod threads;

use std::sync::{Arc, Mutex};

use evenkeel::config::{BackendConfig, BackendMode, Tier};

use crate::common::{Backend, wait_until};

/// Returns a backend of a configuration.
fn backend(name: &str, backend: &Backend) -> BackendConfig {
    BackendConfig {
        name: name.to_owned(),
        address: backend.address,
        weight: 1,
        requests: None,
        mode: BackendMode::Up,
        tier: Tier::Primary,
        origin: evenkeel::config::Origin::Written,
    }
}

/// A backend that answers with its name when it is told to.
pub(crate) struct Slow {
    pub(crate) backend: Backend,
    go: Arc<Mutex<bool>>,
}

impl Slow {
    pub(crate) fn named(name: &'static str) -> Self {
        let go: Arc<Mutex<bool>> = Arc::default();
        let may = Arc::clone(&go);
        let backend = Backend::scripted(move |mut visit| {
            while visit.request().is_some() {
                wait_until("the test goes on", || *may.lock().unwrap());
                visit.wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
                    name.len()
                ));
            }
        });
        Self { backend, go }
    }

    pub(crate) fn has(&self, count: usize) {
        wait_until("requests arrive", || self.backend.requests().len() == count);
    }

    pub(crate) fn go(&self) {
        *self.go.lock().unwrap() = true;
    }
}
