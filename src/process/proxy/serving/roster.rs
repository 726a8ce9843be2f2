//! Who is connected, as it is sent to an operator: a JSON line a connection.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::ipc::lent::{self, Aside};
use crate::ipc::message::ConnectionFilter;
use crate::process::proxy::context::roll::{Answers, Roll};

/// Asks the workers, and sends what they have said.
pub(super) async fn report(roll: &Roll, wanted: ConnectionFilter, socket: OwnedFd) {
    let Some(call) = roll.call(wanted) else {
        let why = Aside::Refused("too many ask who is connected already".into());
        let _ = lent::try_send(&socket, &line(&why));
        return;
    };
    let (answers, missing) = roll.answers(&call, ANSWER_TIMEOUT).await;
    // The main thread does not wait for a reader; this one is not waited for.
    drop(tokio::task::spawn_blocking(move || {
        lent::send_all(&socket, &lines(&answers, missing), SEND_TIMEOUT);
    }));
}

fn lines(answers: &Answers, missing: u64) -> Vec<u8> {
    let mut text: Vec<u8> = answers.rows.iter().flat_map(line).collect();
    if answers.left_out > 0 {
        text.extend(line(&Aside::LeftOut(answers.left_out)));
    }
    if missing > 0 {
        text.extend(line(&Aside::Missing(missing)));
    }
    // An answer that is cut short does not have it.
    text.extend(line(&Aside::Whole));
    text
}

fn line(what: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(what).unwrap_or_default();
    text.push(b'\n');
    text
}

/// From the call to the last worker's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the operator's command may take to read it all.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
