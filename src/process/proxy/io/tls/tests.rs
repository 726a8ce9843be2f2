//! Conversations with the buffered side of rustls, over loopback.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::process::proxy::io::stream::Stream;

/// Both sides' configurations, with a certificate for `localhost`.
fn configs(versions: &[&'static rustls::SupportedProtocolVersion]) -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let key = any_supported_type(&key.into()).unwrap();
    let der = made.cert.der().clone();
    let certified = CertifiedKey::new(vec![der.clone()], key);
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

const VERSIONS: [&[&rustls::SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS13], &[&rustls::version::TLS12]];

type Peer = StreamOwned<ClientConnection, TcpStream>;

/// Runs `ours` on the server's side of a connection whose client does `theirs` on its own thread.
fn converse<T: Send + 'static, F: Future>(
    (server, client): (ServerConfig, ClientConfig),
    theirs: impl FnOnce(Peer) -> T + Send + 'static,
    ours: impl FnOnce(Stream) -> F,
) -> (F::Output, T) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer: JoinHandle<T> = std::thread::spawn(move || {
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(client), name).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        theirs(StreamOwned::new(connection, socket))
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::TcpStream::from_std(socket).unwrap();
        let mut stream = Stream::registered(socket);
        let scratch = Rc::default();
        stream.secure(Session::server(&Arc::new(server), &scratch).unwrap());
        tokio::time::timeout(PATIENCE, ours(stream)).await.unwrap()
    });
    (ended, peer.join().unwrap())
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn shake(stream: &mut Stream) -> Result<(), HandshakeError> {
    poll_fn(|cx| stream.poll_handshake(cx)).await
}

async fn read_exactly(stream: &mut Stream, len: usize, at_once: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; at_once];
    while all.len() < len {
        let room = at_once.min(len - all.len());
        let read = poll_fn(|cx| stream.poll_read(cx, &mut buffer[..room])).await;
        let read = read.unwrap();
        assert_ne!(read, 0, "more was to come");
        all.extend_from_slice(&buffer[..read]);
    }
    all
}

async fn write_all(stream: &mut Stream, parts: &[&[u8]]) {
    let whole: Vec<u8> = parts.concat();
    let mut written = 0;
    while written < whole.len() || stream.has_unsent() {
        if written == whole.len() {
            poll_fn(|cx| stream.poll_send(cx)).await.unwrap();
            continue;
        }
        // What is left of each part, as its own slice.
        let mut from = written;
        let mut slices = Vec::new();
        for part in parts {
            let skipped = from.min(part.len());
            from -= skipped;
            if skipped < part.len() {
                slices.push(IoSlice::new(&part[skipped..]));
            }
        }
        written += poll_fn(|cx| stream.poll_write(cx, &slices)).await.unwrap();
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 % 251) as u8).collect()
}

#[test]
fn what_is_written_is_read_whatever_its_sizes() {
    let sizes: [&[usize]; 9] = [
        &[1],
        &[100, 50],
        &[300, 200_000, 2],
        &[16_384],
        &[16_383, 1],
        &[16_384, 16_385],
        &[1, 65_535, 1],
        &[40_000, 10, 40_000],
        &[1_000_000],
    ];
    for versions in VERSIONS {
        for parts in sizes {
            let parts: Vec<Vec<u8>> = parts.iter().map(|len| pattern(*len)).collect();
            let whole: Vec<u8> = parts.concat();
            let len = whole.len();
            let echo = move |mut peer: Peer| {
                let mut got = vec![0; len];
                peer.read_exact(&mut got).unwrap();
                peer.write_all(&got).unwrap();
            };
            let ours = async |mut stream: Stream| {
                shake(&mut stream).await.unwrap();
                let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
                write_all(&mut stream, &parts).await;
                read_exactly(&mut stream, len, 20_000).await
            };
            let (came, ()) = converse(configs(versions), echo, ours);
            assert!(came == whole, "{len} bytes came back otherwise");
        }
    }
}

#[test]
fn a_reader_with_little_room_misses_nothing() {
    let whole = pattern(50_000);
    let sent = whole.clone();
    let theirs = move |mut peer: Peer| peer.write_all(&sent).unwrap();
    let ours = async |mut stream: Stream| {
        shake(&mut stream).await.unwrap();
        read_exactly(&mut stream, 50_000, 7).await
    };
    let (came, ()) = converse(configs(VERSIONS[0]), theirs, ours);
    assert!(came == whole);
}

#[test]
fn what_a_slow_reader_does_not_take_is_held_and_no_more_is_taken() {
    let theirs = |mut peer: Peer| {
        // The handshake, and nothing more for a while.
        peer.write_all(b"x").unwrap();
        let mut one = [0];
        peer.read_exact(&mut one).unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        1 + rest.len()
    };
    let ours = async |mut stream: Stream| {
        shake(&mut stream).await.unwrap();
        read_exactly(&mut stream, 1, 1).await;
        let block = pattern(64 * 1024);
        let mut taken = 0;
        let mut waits = 0;
        while taken < 16 << 20 {
            let slices = [IoSlice::new(&block)];
            taken += poll_fn(|cx| {
                let poll = stream.poll_write(cx, &slices);
                waits += usize::from(poll.is_pending());
                poll
            })
            .await
            .unwrap();
            let session = stream.session().unwrap();
            assert!(session.outgoing.len() <= OUTGOING_BYTES);
        }
        while stream.has_unsent() {
            poll_fn(|cx| stream.poll_send(cx)).await.unwrap();
        }
        stream.shut();
        (taken, waits)
    };
    let ((taken, waits), came) = converse(configs(VERSIONS[0]), theirs, ours);
    assert_eq!(taken, came);
    assert!(waits > 0, "its socket has taken everything at once");
}

#[test]
fn an_end_that_was_said_is_told_from_one_that_was_not() {
    for (says, hoped) in [(true, Ok(0)), (false, Err(io::ErrorKind::UnexpectedEof))] {
        let theirs = move |mut peer: Peer| {
            peer.write_all(b"last").unwrap();
            if says {
                peer.conn.send_close_notify();
                peer.flush().unwrap();
            }
            peer.sock.shutdown(Shutdown::Write).unwrap();
            // Until the other has seen it.
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest);
            rest
        };
        let ours = async |mut stream: Stream| {
            shake(&mut stream).await.unwrap();
            let last = read_exactly(&mut stream, 4, 100).await;
            let end = poll_fn(|cx| stream.poll_read(cx, &mut [0; 10])).await;
            // Its other direction goes on.
            write_all(&mut stream, &[b"and ours"]).await;
            stream.shut();
            (last, end.map_err(|error| error.kind()))
        };
        let ((last, end), rest) = converse(configs(VERSIONS[0]), theirs, ours);
        assert_eq!(last, b"last");
        assert_eq!(end, hoped);
        if says {
            assert_eq!(rest, b"and ours");
        }
    }
}

#[test]
fn what_was_agreed_upon_is_known() {
    for (versions, version) in VERSIONS.into_iter().zip(["TLSv1.3", "TLSv1.2"]) {
        let theirs = |mut peer: Peer| peer.write_all(b"x").unwrap();
        let ours = async |mut stream: Stream| {
            shake(&mut stream).await.unwrap();
            read_exactly(&mut stream, 1, 1).await;
            let agreed = stream.session().unwrap().agreed().unwrap();
            assert_eq!(agreed.version, version);
            assert!(agreed.cipher.starts_with("TLS"), "{}", agreed.cipher);
            assert!(!agreed.resumed && agreed.certificate.is_none());
        };
        converse(configs(versions), theirs, ours);
    }
}

/// Has a client send these bytes and no TLS.
fn refused(sent: &'static [u8]) -> HandshakeError {
    let theirs = move |peer: Peer| {
        let mut socket = peer.sock;
        socket.write_all(sent).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    };
    let ours = async |mut stream: Stream| shake(&mut stream).await.unwrap_err();
    converse(configs(VERSIONS[0]), theirs, ours).0
}

#[test]
fn what_is_no_handshake_is_refused() {
    for sent in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"post"] {
        assert!(matches!(refused(sent), HandshakeError::Plain));
    }
    for sent in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x80\x2e\x01\x00\x02",
        &[0; 100],
    ] {
        let error = refused(sent);
        assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
    }
    for sent in [&b""[..], b"\x16\x03\x01"] {
        assert!(matches!(refused(sent), HandshakeError::Gone));
    }
}

#[test]
fn a_quiet_connection_is_told_from_one_that_has_something_to_say() {
    let theirs = |mut peer: Peer| {
        peer.write_all(b"x").unwrap();
        let mut word = [0; 2];
        peer.read_exact(&mut word).unwrap();
        peer.conn.refresh_traffic_keys().unwrap();
        peer.flush().unwrap();
        peer.read_exact(&mut word).unwrap();
        peer.write_all(b"unasked").unwrap();
        let _ = peer.read_to_end(&mut Vec::new());
    };
    let ours = async |mut stream: Stream| {
        shake(&mut stream).await.unwrap();
        read_exactly(&mut stream, 1, 1).await;
        assert_eq!(stream.unread(), Unread::Nothing);
        write_all(&mut stream, &[b"go"]).await;
        // New keys are nothing that was said.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(stream.unread_in_the_kernel(), Unread::Nothing);
        write_all(&mut stream, &[b"on"]).await;
        let until = std::time::Instant::now() + PATIENCE;
        while stream.unread_in_the_kernel() == Unread::Nothing {
            assert!(std::time::Instant::now() < until);
            tokio::task::yield_now().await;
        }
        assert_eq!(stream.unread(), Unread::Bytes);
        stream.shut();
    };
    converse(configs(VERSIONS[0]), theirs, ours);
}
