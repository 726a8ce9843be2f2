//! `evenkeel connections`: who is connected, for how long, and what with.
//!
//! The proxy's workers say it, over a socket that the command lends the proxy (`ipc::lent`).

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::filter;
use super::lending::{Refused, lend};
use crate::cli::outcome::{Output, print_answer};
use crate::cli::status::{self, StatusError, ago, table};
use crate::ipc::control::{ConnectionFilter, Request};
use crate::ipc::lent::{self, Aside};

/// Prints the connections that are asked for; returns the exit code.
pub(crate) fn run(runtime_dir: &Path, wanted: ConnectionFilter, output: Output) -> i32 {
    print_answer(ask(runtime_dir, wanted).map(|all| all.render(output)))
}

/// What `--json` prints.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Connections {
    /// The oldest first.
    connections: Vec<Connection>,
    /// More than are listed at once.
    left_out: u64,
    /// Threads of the proxy that have not said all in time.
    threads_missing: u64,
}

/// A connection, or a request on one that carries many.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Connection {
    client: SocketAddr,
    listener: String,
    worker: u64,
    stream: bool,
    state: String,
    backend: Option<String>,
    age_ms: u64,
    state_ms: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
}

fn ask(runtime_dir: &Path, wanted: ConnectionFilter) -> Result<Connections, StatusError> {
    let status = status::ask(runtime_dir)?;
    let names = status.listeners.iter().map(|it| it.name.as_str()).collect();
    filter::require("listener", wanted.listener.as_deref(), names)?;
    let socket = lend(runtime_dir, &Request::Connections(wanted));
    let socket = socket.map_err(|refused| match refused {
        Refused::Away(error) | Refused::Said(error) => error,
    })?;
    let mut all = Connections::default();
    read(&socket, &mut all)?;
    all.connections.sort_by_key(|it| Reverse(it.age_ms));
    Ok(all)
}

/// Reads what the proxy has to say, to its end.
fn read(socket: &OwnedFd, all: &mut Connections) -> Result<(), StatusError> {
    let broken = |why: &str| StatusError::Unchanged(format!("the proxy's answer {why}"));
    let mut buf = vec![0; lent::MESSAGE_BYTES_MAX];
    loop {
        if !lent::wait(socket, ANSWER_TIMEOUT) {
            return Err(broken("does not come"));
        }
        let message = lent::receive(socket, &mut buf);
        let message = message.map_err(|_| broken("cannot be read"))?;
        if message.is_empty() {
            return Err(broken("was cut short"));
        }
        for line in message
            .split(|byte| *byte == b'\n')
            .filter(|it| !it.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(Aside::Refused(why)) => return Err(StatusError::Unchanged(why)),
                Ok(Aside::LeftOut(count) | Aside::Dropped(count)) => all.left_out += count,
                Ok(Aside::Missing(threads)) => all.threads_missing = threads,
                Ok(Aside::Whole) => return Ok(()),
                Err(_) => {
                    let connection = serde_json::from_slice(line);
                    let connection = connection.map_err(|_| broken("is not understood"))?;
                    all.connections.push(connection);
                }
            }
        }
    }
}

impl Connections {
    fn render(&self, output: Output) -> String {
        match output {
            Output::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
            Output::Text => self.text(),
        }
    }

    fn text(&self) -> String {
        let head = [
            "CLIENT", "LISTENER", "AGE", "STATE", "FOR", "BACKEND", "RECEIVED", "SENT",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.connections.iter().map(Connection::row));
        let mut text = match self.connections.is_empty() {
            true => "nobody is connected\n".to_owned(),
            false => table(&rows),
        };
        if self.left_out > 0 {
            text.push_str(&format!("... {} more\n", self.left_out));
        }
        if self.threads_missing > 0 {
            let threads = self.threads_missing;
            text.push_str(&format!(
                "note: {threads} busy threads have not said all in time\n"
            ));
        }
        text
    }
}

impl Connection {
    fn row(&self) -> Vec<String> {
        let number = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
        vec![
            match self.stream {
                true => format!("{} (stream)", self.client),
                false => self.client.to_string(),
            },
            self.listener.clone(),
            ago(self.age_ms),
            self.state.replace('_', " "),
            self.state_ms.map_or_else(|| "-".to_owned(), ago),
            self.backend.clone().unwrap_or_else(|| "-".to_owned()),
            number(self.received_bytes),
            number(self.sent_bytes),
        ]
    }
}

/// Returns bytes in the largest unit that says enough.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        10_000_000_000.. => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// From one message to the next; the workers have a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn heard(lines: &str) -> Result<Connections, StatusError> {
        let (kept, lent) = lent::pair().unwrap();
        lent::send_all(&lent, lines.as_bytes(), Duration::ZERO);
        drop(lent);
        let mut all = Connections::default();
        read(&kept, &mut all)?;
        Ok(all)
    }

    const LINES: &str = concat!(
        r#"{"worker":1,"listener":"http","client":"192.0.2.7:4711","stream":false,"state":"waiting","backend":"api/b1","age_ms":1500,"state_ms":1200,"received_bytes":80,"sent_bytes":0}"#,
        "\n",
        r#"{"worker":0,"listener":"https","client":"[2001:db8::7]:4712","stream":true,"state":"request_head","backend":null,"age_ms":90,"state_ms":null,"received_bytes":null,"sent_bytes":null}"#,
        "\n{\"left_out\":12}\n{\"missing\":1}\n\"whole\"\n",
    );

    #[test]
    fn connections_are_a_table_or_one_document() {
        let all = heard(LINES).unwrap();
        let hoped = "\
CLIENT                       LISTENER  AGE   STATE         FOR   BACKEND  RECEIVED  SENT
192.0.2.7:4711               http      1.5s  waiting       1.2s  api/b1   80 B      0 B
[2001:db8::7]:4712 (stream)  https     90ms  request head  -     -        -         -
... 12 more
note: 1 busy threads have not said all in time
";
        assert_eq!(all.render(Output::Text), hoped);
        let json: serde_json::Value = serde_json::from_str(&all.render(Output::Json)).unwrap();
        assert_eq!(json["connections"][0]["backend"], "api/b1");
        assert_eq!(
            (&json["left_out"], &json["threads_missing"]),
            (&12.into(), &1.into())
        );
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        assert!(heard("").is_err());
        let cut = LINES.replace("\"whole\"\n", "");
        assert!(heard(&cut).is_err());
        let refused = heard("{\"refused\":\"too many ask\"}\n").unwrap_err();
        assert_eq!(refused.to_string(), "too many ask");
        let nobody = heard("\"whole\"\n").unwrap();
        assert_eq!(nobody.render(Output::Text), "nobody is connected\n");
    }

    #[test]
    fn bytes_are_said_in_the_largest_useful_unit() {
        for (bytes, text) in [(9_999, "9999 B"), (10_000, "10 kB"), (12_345_678, "12 MB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
