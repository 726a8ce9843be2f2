//! Probes of gRPC backends.

use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use evenkeel::config::{GrpcProbe, ProbeKind};
use hyper::{HeaderMap, Response};

use crate::common::{Backend, wait_until};
use crate::rig::{OK, setup};

/// What a server answers to a call.
#[derive(Clone, Copy)]
struct Script {
    status: u16,
    message: &'static [u8],
    /// In the trailers, or where there is no message in the head.
    grpc_status: Option<&'static str>,
}

/// Starts a server over HTTP/2 that answers so where it is asked for this service.
fn server(service: &'static str, script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(serve(request, respond, service, script));
                    }
                });
            }
        });
    });
    address
}

async fn serve(
    request: hyper::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    service: &str,
    script: Script,
) {
    let (head, mut body) = request.into_parts();
    assert_eq!(head.method, "POST");
    assert_eq!(head.uri.path(), "/grpc.health.v1.Health/Check");
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["te"], "trailers");
    let mut asked = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        asked.extend_from_slice(&data);
    }
    let mut hoped = vec![0, 0, 0, 0];
    if service.is_empty() {
        hoped.push(0);
    } else {
        let len = u8::try_from(service.len()).unwrap();
        hoped.extend([len + 2, 0x0a, len]);
        hoped.extend(service.bytes());
    }
    assert_eq!(asked, hoped);
    let response = Response::builder().status(script.status);
    let Some(grpc_status) = script.grpc_status else {
        let _ = respond.send_response(response.body(()).unwrap(), true);
        return;
    };
    if script.message.is_empty() {
        let response = response.header("grpc-status", grpc_status).body(());
        let _ = respond.send_response(response.unwrap(), true);
        return;
    }
    let mut stream = respond
        .send_response(response.body(()).unwrap(), false)
        .unwrap();
    let _ = stream.send_data(Bytes::from_static(script.message), false);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", grpc_status.parse().unwrap());
    let _ = stream.send_trailers(trailers);
}

fn becomes(address: SocketAddr, service: &str, state: &str, check: &str) {
    let kind = ProbeKind::Grpc(GrpcProbe {
        service: service.to_owned(),
        host: None,
    });
    let rig = setup(&[address]).check(kind, 1, 1).start();
    wait_until(&format!("{state}: {check}"), || {
        let backend = rig.pool().backends.remove(0);
        backend.state == state && backend.check.contains(check)
    });
}

#[test]
fn the_health_that_a_service_says_is_its_verdict() {
    for (service, status, message, grpc_status, state, check) in [
        (
            "",
            200,
            &b"\0\0\0\0\x02\x08\x01"[..],
            Some("0"),
            "up",
            "SERVING",
        ),
        (
            "shop.v1.Orders",
            200,
            b"\0\0\0\0\x02\x08\x01",
            Some("0"),
            "up",
            "SERVING",
        ),
        (
            "",
            200,
            b"\0\0\0\0\x02\x08\x02",
            Some("0"),
            "down",
            "gRPC health: NOT_SERVING",
        ),
        (
            "",
            200,
            b"\0\0\0\0\x02\x08\x03",
            Some("0"),
            "down",
            "gRPC health: SERVICE_UNKNOWN",
        ),
        (
            "",
            200,
            b"\0\0\0\0\x00",
            Some("0"),
            "down",
            "gRPC health: UNKNOWN",
        ),
        (
            "",
            200,
            b"\0\0\0\0\x02\x08\x01",
            Some("14"),
            "down",
            "grpc-status 14 UNAVAILABLE",
        ),
        (
            "",
            200,
            b"",
            Some("12"),
            "down",
            "grpc-status 12 UNIMPLEMENTED",
        ),
        ("", 200, b"", Some("0"), "down", "no HealthCheckResponse"),
        ("", 200, b"", None, "down", "without grpc-status"),
        ("", 404, b"", None, "down", "status 404 Not Found"),
        ("", 200, &[0; 1025], Some("0"), "down", "too long"),
    ] {
        let script = Script {
            status,
            message,
            grpc_status,
        };
        becomes(server(service, script), service, state, check);
    }
}

#[test]
fn what_speaks_no_http2_is_no_grpc_server() {
    let backend = Backend::saying(OK);
    becomes(backend.address, "", "down", "bad answer");
}
