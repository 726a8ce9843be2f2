//! Messages that are never relayed, and why.
//!
//! Here is refused what two parsers could read in two ways (RFC 9112 §2.2, §5, §6, §7, RFC 9110
//! §7.2) and what a load balancer has no business relaying. When in doubt, refuse. Every refusal
//! has a status and a token that never changes. Pure.

use thiserror::Error;

use super::rewrite::path::PathRefusal;

/// Why a request is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestRefusal {
    /// RFC 9112 §3, §5: it is no HTTP/1 head: a bad token, a control byte, a folded line, a space
    /// before a colon, a bare CR.
    #[error("the head is malformed: {0}")]
    Syntax(&'static str),
    /// RFC 9112 §2.2: a line that ends in a bare LF.
    #[error("a line of the head does not end in CRLF")]
    BareLf,
    /// RFC 9112 §2.3: neither HTTP/1.0 nor HTTP/1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    /// RFC 6585 §5: more bytes than are allowed.
    #[error("the head is too large")]
    HeadTooLarge,
    /// RFC 6585 §5: more fields than are allowed.
    #[error("the head has too many fields")]
    TooManyFields,
    /// RFC 9110 §15.5.15.
    #[error("the target is too long")]
    TargetTooLong,
    /// RFC 9112 §3.2: an HTTP/1.1 request has a Host field.
    #[error("the Host field is missing")]
    HostMissing,
    /// RFC 9112 §3.2: exactly one.
    #[error("there is more than one Host field")]
    HostRepeated,
    /// RFC 9112 §3.2: it is a host and maybe a port.
    #[error("the Host field is not a host name or address with an optional port")]
    HostInvalid,
    /// RFC 9112 §3.2.2: the target's authority rules; another Host field is a trick.
    #[error("the Host field differs from the target's authority")]
    HostMismatch,
    /// RFC 9110 §10.1.1: anything but `100-continue`, which is how requests are smuggled past some
    /// servers.
    #[error("the Expect field is not `100-continue`")]
    Expectation,
    /// RFC 9110 §9.3.8: it would show a client what proxies add to its request.
    #[error("TRACE is not served here")]
    Trace,
    /// This proxy is not a tunnel for its clients.
    #[error("CONNECT is not served here")]
    Connect,
    /// RFC 9112 §3.2: the target is neither a path, nor a URL of http, nor `*` for OPTIONS.
    #[error("the target is not one an HTTP server can answer")]
    Target,
    /// A path that routes could not be matched against as backends read it.
    #[error(transparent)]
    Path(PathRefusal),
    /// RFC 9112 §6.1: any coding but one `chunked`.
    #[error("only the transfer coding `chunked` is understood")]
    TransferCoding,
    /// RFC 9112 §6.1: HTTP/1.0 has no transfer codings.
    #[error("a request of HTTP/1.0 cannot have a transfer coding")]
    CodingBeforeChunks,
    /// RFC 9112 §6.1: the sign of a smuggled request.
    #[error("both Content-Length and Transfer-Encoding are present")]
    BothFramings,
    /// RFC 9112 §6.3: no number, or a list, even of equal numbers.
    #[error("the Content-Length field is not one number")]
    ContentLength,
    /// RFC 9110 §7.6.1: more options than any message needs, each of which costs a look at every
    /// field.
    #[error("the Connection fields have more than 32 options")]
    ConnectionOptions,
    /// RFC 9110 §7.6.2: several, or no number.
    #[error("the Max-Forwards field is not one number")]
    MaxForwards,
    /// RFC 9110 §7.6.2: OPTIONS that ends here, with an answer that is none of the backend's.
    #[error("Max-Forwards is 0, so this proxy answers and no backend is asked")]
    OptionsEnd,
    /// RFC 9110 §7.6.2, §9.3.8: TRACE that ends here; what it carries is not reflected.
    #[error("Max-Forwards is 0, and this proxy does not reflect requests")]
    TraceEnd,
    /// RFC 8441 §4: it asks for a protocol that is not relayed.
    #[error("the protocol that it asks for is not relayed")]
    Protocol,
    /// RFC 9110 §15.5.20: the listener speaks TLS otherwise by now, or asks for other certificates.
    #[error("this connection began under other rules of TLS: a new one is served")]
    Misdirected,
    /// RFC 9110 §15.5.14: longer than is allowed.
    #[error("the body is too large")]
    BodyTooLarge,
    /// RFC 9112 §7.1, §8: the body breaks its framing.
    #[error("the body is malformed or broke off")]
    Body(#[source] BodyError),
}

impl RequestRefusal {
    /// Returns the status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::OptionsEnd => 200,
            Self::Connect | Self::Trace | Self::TraceEnd => 405,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::Misdirected => 421,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Protocol | Self::TransferCoding => 501,
            Self::Version => 505,
            Self::Syntax(_)
            | Self::BareLf
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostMismatch
            | Self::Target
            | Self::Path(_)
            | Self::CodingBeforeChunks
            | Self::BothFramings
            | Self::ContentLength
            | Self::ConnectionOptions
            | Self::MaxForwards
            | Self::Body(_) => 400,
        }
    }

    /// Returns one word for the answer's body and the log.
    pub fn token(self) -> &'static str {
        match self {
            Self::Syntax(_) => "head_invalid",
            Self::BareLf => "bare_lf",
            Self::Version => "version_unknown",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::TargetTooLong => "target_too_long",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::HostMismatch => "host_mismatch",
            Self::Expectation => "expectation",
            Self::Trace => "trace_refused",
            Self::Connect => "connect_refused",
            Self::Target => "target_invalid",
            Self::Path(refusal) => refusal.token(),
            Self::TransferCoding => "transfer_coding",
            Self::CodingBeforeChunks => "coding_in_http_1_0",
            Self::BothFramings => "both_framings",
            Self::ContentLength => "content_length",
            Self::ConnectionOptions => "connection_options",
            Self::MaxForwards => "max_forwards",
            Self::OptionsEnd => "options_end",
            Self::TraceEnd => "trace_end",
            Self::Protocol => "protocol_unknown",
            Self::Misdirected => "misdirected",
            Self::BodyTooLarge => "body_too_large",
            Self::Body(_) => "body_invalid",
        }
    }
}

/// Why a response is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseRefusal {
    /// RFC 9112 §4, §5: it is no HTTP/1 head.
    #[error("its head is malformed: {0}")]
    Syntax(&'static str),
    /// RFC 9112 §2.2: a line that ends in a bare LF.
    #[error("a line of its head does not end in CRLF")]
    BareLf,
    /// RFC 9112 §2.3: neither HTTP/1.0 nor HTTP/1.1.
    #[error("it is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// RFC 9110 §15: below 100.
    #[error("its status is none")]
    Status,
    /// More bytes than are allowed.
    #[error("its head is too large")]
    HeadTooLarge,
    /// More fields than are allowed.
    #[error("its head has more than 128 fields")]
    TooManyFields,
    /// RFC 9110 §15.2: more than any request needs.
    #[error("it sent more than 16 interim answers")]
    TooManyInterim,
    /// RFC 9110 §7.8: 101 without a request for it, or to another protocol.
    #[error("it switched protocols without being asked")]
    UnsolicitedUpgrade,
    /// RFC 9110 §7.8: 101 before the client has sent its whole request.
    #[error("it switched protocols before the request had ended")]
    EarlyUpgrade,
    /// RFC 9112 §6.3: the sign of a split response.
    #[error("it carried both Content-Length and Transfer-Encoding")]
    BothFramings,
    /// RFC 9112 §6.1: any coding but one `chunked`, or any in HTTP/1.0.
    #[error("its transfer coding is not `chunked`")]
    TransferCoding,
    /// RFC 9110 §7.6.1: more options than any message needs.
    #[error("its Connection fields have more than 32 options")]
    ConnectionOptions,
    /// RFC 9110 §8.6: several lengths that differ, or no number.
    #[error("its Content-Length is not one number")]
    ContentLength,
    /// It has the answer be fetched from where nothing can be asked for.
    #[error("its X-Accel-Redirect or X-Reproxy-URL cannot be followed")]
    Elsewhere,
    /// It does so before the client has sent its whole request.
    #[error("it named another answer before the request had ended")]
    EarlyElsewhere,
    /// RFC 9112 §7.1: what came of the body together with the head breaks its framing.
    #[error("its body is malformed")]
    Body(#[source] BodyError),
}

/// How a body breaks its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// RFC 9112 §7.1: a chunk's size is not one to sixteen hexadecimal digits, or is followed by
    /// something else than an extension or CRLF.
    #[error("the size of a chunk is not a hexadecimal number")]
    ChunkSize,
    /// RFC 9112 §7.1.1: an extension with a control byte, or more of them than are allowed.
    #[error("the extensions of chunks are malformed or too long")]
    ChunkExtension,
    /// RFC 9112 §7.1: a chunk is longer or shorter than it says.
    #[error("a chunk does not end where it should")]
    ChunkEnd,
    /// RFC 9112 §7.1.2: trailers are malformed, or more than are allowed.
    #[error("the trailers are malformed or too long")]
    Trailers,
    /// RFC 9110 §15.5.14: longer than is allowed.
    #[error("it is too long")]
    TooLong,
    /// RFC 9112 §8: the connection ended first.
    #[error("it broke off")]
    Truncated,
}
