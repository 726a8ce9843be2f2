//! A request that the proxy answers itself: its route says so, or it may not be served.

use crate::logic::http1::head::{Framing, Persistence};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::request::answer::{self, send_local_reply};
use crate::process::proxy::request::attempts::record_of;
use crate::process::proxy::request::context::{After, Local, Request, RequestContext};
use crate::process::proxy::request::record;

/// Answers a request. The connection is kept where its body need not be read.
pub(in crate::process::proxy) async fn answer(
    context: RequestContext<'_>,
    client: &mut Stream,
    request: &mut Request,
    local: Local,
) -> After {
    let mut record = record_of(request);
    let Request { asked, framing, .. } = *request;
    let Request { message, edits, .. } = request;
    record.termination = local.termination;
    let persistence = match (framing, asked.persistence) {
        (Framing::None | Framing::Length(0), Persistence::Keep) => Persistence::Keep,
        (
            Framing::None | Framing::Length(_) | Framing::Chunked | Framing::UntilClose,
            Persistence::Keep | Persistence::Close,
        ) => Persistence::Close,
    };
    let reply = answer::disclosed(context, message.as_text(), local.reply, &mut record);
    let edits = edits.as_deref();
    let sending = send_local_reply(
        context,
        client,
        &reply,
        asked,
        persistence,
        edits,
        &mut record,
    );
    let after = sending.await;
    record.moments.ended_at = context.worker.moment();
    record::ended(context, None, &record, message.as_text());
    let buffers = &context.worker.buffers;
    buffers.give_back(std::mem::take(message).into_text());
    after
}
