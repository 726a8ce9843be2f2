//! What a connection to a backend begins with, where the backend is to know whose it is (PROXY
//! protocol).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::answer::request_id;
use super::context::RequestContext;
use crate::config::ProxyProtocol;
use crate::logic::proxy_protocol::{Tls, write_v1, write_v2};
use crate::process::proxy::io::stream::Stream;
use crate::process::proxy::tls::facts::TlsFacts;

/// Returns whose a request is, by the word of all before us; the port is 0 where nobody has said.
pub(super) fn client(context: RequestContext<'_>, origin: IpAddr) -> SocketAddr {
    let peer = context.peer;
    let is_direct = peer.ip().to_canonical() == origin.to_canonical();
    SocketAddr::new(origin, if is_direct { peer.port() } else { 0 })
}

/// Returns a header for the request whose head this is, as backends are sent it.
pub(super) fn header(
    version: ProxyProtocol,
    context: RequestContext<'_>,
    client: SocketAddr,
    stream: &Stream,
    head: &[u8],
) -> Vec<u8> {
    let announced = context.announced.map(|it| it.destination);
    let local = announced.or_else(|| stream.local_addr());
    let destination = local.unwrap_or_else(|| match client {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    });
    let mut header = Vec::new();
    match version {
        ProxyProtocol::V1 => write_v1(client, destination, &mut header),
        ProxyProtocol::V2 => {
            let id = request_id(head).unwrap_or_default();
            write_v2(client, destination, context.tls.map(tls), id, &mut header);
        }
    }
    header
}

fn tls(facts: &TlsFacts) -> Tls<'_> {
    let subject = facts.client.as_ref().map(|client| &*client.subject);
    let mut parts = subject.into_iter().flat_map(|subject| subject.split(','));
    Tls {
        version: facts.version,
        cipher: facts.cipher,
        server_name: facts.server_name.as_deref(),
        common_name: parts.find_map(|part| part.trim().strip_prefix("CN=")),
    }
}
