//! A proxy that logs into a pipe, and the reader of that pipe.

use std::io::{BufRead, BufReader, PipeReader};
use std::sync::mpsc::{Receiver, sync_channel};

use evenkeel::config::{AccessLogConfig, AccessLogTarget, Format};
use evenkeel::ipc::control::AccessLogStatus;
use serde_json::Value;

use crate::common::PATIENCE;
use crate::rig::{Rig, Setup};

/// A proxy and the lines it writes.
pub(crate) struct Logged {
    pub rig: Rig,
    lines: Receiver<String>,
}

impl Logged {
    /// Starts a proxy that logs JSON into a pipe that is read.
    pub(crate) fn start(setup: Setup) -> Self {
        Self::start_as(setup, "json")
    }

    /// The same in another format.
    pub(crate) fn start_as(setup: Setup, format: &str) -> Self {
        let rig = with_log(setup, AccessLogTarget::StandardOutput, format).start();
        let (reader, writer) = std::io::pipe().unwrap();
        rig.proxy.set_access_log(writer.into());
        Self {
            rig,
            lines: read(reader),
        }
    }

    /// Returns the next line.
    pub(crate) fn text(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    /// Returns the next line as JSON.
    pub(crate) fn line(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Drains the proxy, and returns the lines that are left.
    pub(crate) fn rest(self) -> Vec<String> {
        self.rig.drain(PATIENCE);
        drop(self.rig);
        self.lines.iter().collect()
    }
}

/// Requires what a line says: fields and values, in JSON.
pub(crate) fn require(line: &Value, hoped: &Value) {
    for (field, value) in hoped.as_object().unwrap() {
        assert_eq!(&line[field], value, "{field} of {line}");
    }
}

/// Adds an access log.
pub(crate) fn with_log(mut setup: Setup, to: AccessLogTarget, format: &str) -> Setup {
    let format = Format::parse(format).unwrap();
    setup.config.access_log = Some(AccessLogConfig { to, format });
    setup
}

/// Returns how the log fares.
pub(crate) fn status(rig: &Rig) -> AccessLogStatus {
    rig.proxy.access_log().expect("there is a log")
}

/// Reads lines on a thread of their own until the pipe ends.
pub(crate) fn read(reader: PipeReader) -> Receiver<String> {
    let (sender, lines) = sync_channel(100_000);
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            if line.map_or(true, |line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    lines
}
