//! How a request ended: the word, who ended it, and in which phase.
//!
//! HAProxy's two letters, in words. The word of a timeout is its key and `_timeout`.

use super::Awaited;

/// What ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// The answer was relayed to its end.
    Complete,
    /// A route has sent the client elsewhere.
    Redirected,
    /// A route has answered itself.
    Responded,
    /// A route has turned the client away.
    Denied,
    /// No route is for the request, and the listener has no pool.
    NoRoute,
    /// What had to begin with a header of the PROXY protocol began otherwise.
    ProxyHeaderInvalid,
    /// The header did not come to its end in time.
    ProxyHeaderTimeout,
    /// Client and proxy have not agreed upon TLS.
    HandshakeFailed,
    /// They have not done so in time.
    HandshakeTimeout,
    /// The request is not one that is relayed.
    RequestRefused,
    /// The head did not come to its end in time.
    RequestHeadTimeout,
    /// The body did not go on in time.
    RequestBodyTimeout,
    /// The body is malformed, broke off, or is too long.
    RequestBodyInvalid,
    /// There was no room for the body, which was to be whole before a backend was asked.
    DiskFull,
    /// The disk that it was on failed.
    DiskFailed,
    /// The client left before it had its answer.
    ClientGone,
    /// More requests came than may.
    RateLimited,
    /// The listener is in maintenance.
    Maintenance,
    /// No backend is up.
    NoBackendUp,
    /// No backend had room in time.
    QueueTimeout,
    /// No connection to a backend.
    ConnectFailed,
    /// No connection to a backend in time.
    ConnectTimeout,
    /// This machine had no descriptor, port or memory left for a connection to a backend.
    ResourcesExhausted,
    /// A backend ended its connection before it answered.
    ConnectionLost,
    /// A backend sent what is not relayed.
    InvalidResponse,
    /// A backend did not answer in time.
    ResponseHeadTimeout,
    /// A backend ended its connection in the middle of its answer.
    ResponseTruncated,
    /// Nothing was sent or taken for too long in the middle of an answer.
    IdleTimeout,
    /// Nothing was sent for too long on an upgraded connection, or where bytes are carried.
    TunnelTimeout,
    /// A client did not end its direction in time, once the backend had.
    ClientFinTimeout,
    /// A backend did not, once the client had.
    BackendFinTimeout,
    /// The drain's deadline passed.
    DrainTimeout,
}

/// Whose doing an end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// Nobody's: the request is answered.
    Nobody,
    /// The client's.
    Client,
    /// The backend's, or that of all of them.
    Backend,
    /// Ours.
    Proxy,
}

/// How far a request had come when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was awaited who the client is.
    ProxyHeader,
    /// TLS was being agreed upon.
    Handshake,
    /// Its head was being read.
    RequestHead,
    /// There was no backend for it yet, or none that had room.
    Queue,
    /// A connection to a backend was being opened.
    Connect,
    /// It was being sent to a backend.
    RequestBody,
    /// The backend had it and had not answered.
    ResponseHead,
    /// The answer was being relayed.
    ResponseBody,
    /// It had stopped being HTTP.
    Tunnel,
}

impl Termination {
    /// Every way to end.
    pub const ALL: [Self; 32] = [
        Self::Complete,
        Self::Redirected,
        Self::Responded,
        Self::Denied,
        Self::NoRoute,
        Self::ProxyHeaderInvalid,
        Self::ProxyHeaderTimeout,
        Self::HandshakeFailed,
        Self::HandshakeTimeout,
        Self::RequestRefused,
        Self::RequestHeadTimeout,
        Self::RequestBodyTimeout,
        Self::RequestBodyInvalid,
        Self::DiskFull,
        Self::DiskFailed,
        Self::ClientGone,
        Self::RateLimited,
        Self::Maintenance,
        Self::NoBackendUp,
        Self::QueueTimeout,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::ResourcesExhausted,
        Self::ConnectionLost,
        Self::InvalidResponse,
        Self::ResponseHeadTimeout,
        Self::ResponseTruncated,
        Self::IdleTimeout,
        Self::TunnelTimeout,
        Self::ClientFinTimeout,
        Self::BackendFinTimeout,
        Self::DrainTimeout,
    ];

    /// Returns the word for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Redirected => "redirected",
            Self::Responded => "responded",
            Self::Denied => "denied",
            Self::NoRoute => "no_route",
            Self::ProxyHeaderInvalid => "proxy_header_invalid",
            Self::ProxyHeaderTimeout => "proxy_header_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::RequestRefused => "request_refused",
            Self::RequestHeadTimeout => "request_head_timeout",
            Self::RequestBodyTimeout => "request_body_timeout",
            Self::RequestBodyInvalid => "request_body_invalid",
            Self::DiskFull => "disk_full",
            Self::DiskFailed => "disk_failed",
            Self::ClientGone => "client_gone",
            Self::RateLimited => "rate_limited",
            Self::Maintenance => "maintenance",
            Self::NoBackendUp => "no_backend_up",
            Self::QueueTimeout => "queue_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::ResourcesExhausted => "resources_exhausted",
            Self::ConnectionLost => "connection_lost",
            Self::InvalidResponse => "invalid_response",
            Self::ResponseHeadTimeout => "response_head_timeout",
            Self::ResponseTruncated => "response_truncated",
            Self::IdleTimeout => "idle_timeout",
            Self::TunnelTimeout => "tunnel_timeout",
            Self::ClientFinTimeout => "client_fin_timeout",
            Self::BackendFinTimeout => "backend_fin_timeout",
            Self::DrainTimeout => "drain_timeout",
        }
    }

    /// Returns whose doing it was; `awaited` decides where either side may have stood still.
    pub const fn ended_by(self, awaited: Awaited) -> EndedBy {
        match self {
            Self::Complete => EndedBy::Nobody,
            Self::ProxyHeaderInvalid
            | Self::ProxyHeaderTimeout
            | Self::HandshakeFailed
            | Self::HandshakeTimeout
            | Self::RequestRefused
            | Self::RequestHeadTimeout
            | Self::RequestBodyTimeout
            | Self::RequestBodyInvalid
            | Self::ClientGone
            | Self::ClientFinTimeout
            | Self::RateLimited => EndedBy::Client,
            Self::NoBackendUp
            | Self::QueueTimeout
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::ConnectionLost
            | Self::InvalidResponse
            | Self::ResponseHeadTimeout
            | Self::BackendFinTimeout
            | Self::ResponseTruncated => EndedBy::Backend,
            Self::IdleTimeout => match awaited {
                Awaited::Client => EndedBy::Client,
                Awaited::Backend => EndedBy::Backend,
            },
            Self::Redirected
            | Self::Responded
            | Self::Denied
            | Self::NoRoute
            | Self::Maintenance
            | Self::DiskFull
            | Self::DiskFailed
            | Self::TunnelTimeout
            | Self::ResourcesExhausted
            | Self::DrainTimeout => EndedBy::Proxy,
        }
    }
}

impl EndedBy {
    /// Returns the word for the log; `None` where nobody is to be named.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Client => Some("client"),
            Self::Backend => Some("backend"),
            Self::Proxy => Some("proxy"),
        }
    }
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 9] = [
        Self::ProxyHeader,
        Self::Handshake,
        Self::RequestHead,
        Self::Queue,
        Self::Connect,
        Self::RequestBody,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::Tunnel,
    ];

    /// Returns the word for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProxyHeader => "proxy_header",
            Self::Handshake => "handshake",
            Self::RequestHead => "request_head",
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::RequestBody => "request_body",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Tunnel => "tunnel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_word_of_its_own_and_all_but_one_somebody_to_name() {
        let mut words: Vec<&str> = Termination::ALL.map(Termination::as_str).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Termination::ALL.len());
        let unnamed = Termination::ALL
            .into_iter()
            .filter(|end| end.ended_by(Awaited::Client).as_str().is_none());
        assert_eq!(unnamed.collect::<Vec<_>>(), [Termination::Complete]);
    }

    #[test]
    fn silence_in_an_answer_is_the_doing_of_who_was_waited_for() {
        for (awaited, by) in [
            (Awaited::Client, EndedBy::Client),
            (Awaited::Backend, EndedBy::Backend),
        ] {
            assert_eq!(Termination::IdleTimeout.ended_by(awaited), by);
        }
    }
}
