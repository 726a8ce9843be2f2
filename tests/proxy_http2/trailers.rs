//! Trailers behind a body whose length is stated, which HTTP/1.1 has no place for.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::sync::Semaphore;

use crate::backends::{Framed, rig};
use crate::client::{Answer, ask, connect, read, request, run};
use crate::common::Backend;
use crate::rig_of;

/// Answers with what has come, and says beforehand how much that is.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
    let (parts, mut body) = request.into_parts();
    let mut response = Response::new(());
    let len = parts.headers[CONTENT_LENGTH].clone();
    response.headers_mut().insert(CONTENT_LENGTH, len);
    let mut stream = respond.send_response(response, false).unwrap();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        stream.send_data(data, false).unwrap();
    }
    let trailers = body.trailers().await.unwrap();
    match trailers {
        Some(mut trailers) => {
            trailers.insert("x-end", HeaderValue::from_static("yes"));
            trailers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
            stream.send_trailers(trailers).unwrap();
        }
        None => stream.send_data(Bytes::new(), true).unwrap(),
    }
}

/// Asks with a body whose length is stated.
async fn post(
    sender: &h2::client::SendRequest<Bytes>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Result<Answer, Reason> {
    let mut asked = request("POST", "/");
    let len = body.len().to_string();
    asked
        .headers_mut()
        .insert(CONTENT_LENGTH, len.parse().unwrap());
    ask(sender, asked, Some(body), trailers).await
}

fn mine() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-mine", HeaderValue::from_static("1"));
    trailers
}

#[test]
fn trailers_go_on_behind_a_stated_length() {
    let rig = rig(Framed::new(echo).address);
    run(async {
        let sender = connect(rig.address).await;
        for len in [2, 0, 300_000, 1] {
            let body = vec![b'a'; len];
            let answer = post(&sender, &body, Some(mine())).await.unwrap();
            assert_eq!(answer.fields[CONTENT_LENGTH], len.to_string());
            assert!(answer.body == body, "{len}");
            let trailers = answer.trailers.expect("they have come");
            assert_eq!(
                (&trailers["x-mine"], &trailers["x-end"]),
                (&"1".parse().unwrap(), &"yes".parse().unwrap()),
                "{len}"
            );
            // RFC 9110 §6.5.1: the same rules as for those of a chunked body.
            assert!(!trailers.contains_key("x-forwarded-for"), "{trailers:?}");
            if len > 0 {
                let answer = post(&sender, &body, None).await.unwrap();
                assert!(answer.body == body && answer.trailers.is_none(), "{len}");
            }
        }
    });
}

/// RFC 9112 §6.1: no message has both a length and chunks.
#[test]
fn trailers_behind_a_stated_length_end_where_http1_begins() {
    let framed = rig(Framed::new(echo).address);
    let mut plain = framed.client();
    for _ in 0..2 {
        let answer = plain.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hi"));
        assert_eq!(answer.field("content-length").as_deref(), Some("2"));
        assert_eq!(answer.field("transfer-encoding"), None);
    }
    let backend = Backend::scripted(|mut visit| {
        while let Some(request) = visit.request() {
            assert_eq!(request.field("content-length").as_deref(), Some("2"));
            assert_eq!(request.field("transfer-encoding"), None);
            visit
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = rig_of(&backend);
    run(async {
        let sender = connect(rig.address).await;
        for _ in 0..2 {
            let answer = post(&sender, b"hi", Some(mine())).await.unwrap();
            assert_eq!((answer.text().as_str(), answer.trailers), ("ok", None));
        }
    });
    assert_eq!(backend.accepted(), 1, "nothing is left on it");
}

/// RFC 9113 §8.1: a message ends with its stream, however much of it was to come.
#[test]
fn an_answer_whose_stream_does_not_end_is_not_whole() {
    static GO: Semaphore = Semaphore::const_new(0);
    async fn answers(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, _: usize) {
        let mut response = Response::new(());
        let len = HeaderValue::from_static("2");
        response.headers_mut().insert(CONTENT_LENGTH, len);
        let mut stream = respond.send_response(response, false).unwrap();
        stream.send_data(Bytes::from_static(b"ok"), false).unwrap();
        GO.acquire().await.unwrap().forget();
        match request.uri().path() {
            "/whole" => stream.send_data(Bytes::new(), true).unwrap(),
            _ => stream.send_reset(Reason::INTERNAL_ERROR),
        }
    }
    let rig = rig(Framed::new(answers).address);
    run(async {
        let sender = connect(rig.address).await;
        let whole = Ok((Vec::new(), None));
        for (path, end) in [("/whole", whole), ("/reset", Err(Reason::INTERNAL_ERROR))] {
            let mut asking = sender.clone().ready().await.unwrap();
            let (response, _) = asking.send_request(request("GET", path), true).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "ok", "{path}");
            assert!(!body.is_end_stream(), "{path}");
            GO.add_permits(1);
            assert_eq!(read(body).await, end, "{path}");
        }
    });
}
