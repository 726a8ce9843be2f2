//! The workloads of the issue, and what each of them has to show.

use crate::load::secure::Secure;
use crate::load::{Pace, Reuse};
use crate::peers::{Carries, Kind, Routes, Setting, Threads};

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// 64 B keep-alive GET, 64 connections, one thread.
    W1,
    /// The same, two threads.
    Two,
    /// The same, at a fixed rate.
    Open,
    /// W1 past a hundred routes for hosts.
    Hosts,
    /// W1 past a hundred routes for paths.
    Paths,
    /// 16 KiB responses.
    W2,
    /// 1 MiB responses.
    W3,
    /// A new connection for every request.
    W4,
    /// POST of 64 KiB.
    W5,
    /// 5,000 idle connections.
    W6,
    /// 10,000 idle and 64 busy connections.
    W8,
    /// W1 by TLS, 32 connections.
    Tls,
    /// A handshake for every request.
    Handshake,
    /// The same, of sessions of before.
    Resumption,
    /// 2,000 idle connections of TLS.
    TlsIdle,
    /// 64 KiB responses on connections that carry bytes.
    Tcp,
    /// 64 B by HTTP/2, a hundred streams on four connections.
    Http2,
    /// The same, a stream on each of sixteen.
    Http2One,
    /// 16 KiB by HTTP/2, a hundred streams on four connections.
    Http2Large,
}

/// What a workload sends, and through whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// One line for the tables.
    pub title: &'static str,
    /// How the proxies are set up.
    pub setting: Setting,
    /// Connections that are busy.
    pub busy: usize,
    /// Connections that are idle.
    pub idle: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// Bytes of a response.
    pub response_bytes: usize,
    /// Bytes of a request's body.
    pub request_bytes: usize,
    /// What becomes of connections.
    pub reuse: Reuse,
    /// Whether every round begins with new processes, because their memory is what counts.
    pub fresh: bool,
    /// Whether Perlbal takes part.
    pub perlbal: bool,
    /// How TLS is spoken, where it is.
    pub secure: Option<Secure>,
    /// Streams of each connection, where HTTP/2 is spoken.
    pub streams: Option<usize>,
}

impl Shape {
    const W1: Self = Self {
        title: "64 B keep-alive GET, 64 connections, one thread",
        setting: Setting {
            threads: Threads::One,
            routes: Routes::None,
            tls: false,
            carries: Carries::Requests,
        },
        busy: 64,
        idle: 0,
        pace: Pace::Closed,
        response_bytes: 64,
        request_bytes: 0,
        reuse: Reuse::KeepAlive,
        fresh: false,
        perlbal: false,
        secure: None,
        streams: None,
    };

    fn secure(self, title: &'static str, secure: Secure) -> Self {
        let setting = Setting {
            tls: true,
            ..self.setting
        };
        Self {
            title,
            setting,
            busy: 32,
            secure: Some(secure),
            ..self
        }
    }

    fn carried(self, title: &'static str, response_bytes: usize) -> Self {
        let setting = Setting {
            carries: Carries::Bytes,
            ..self.setting
        };
        Self {
            title,
            setting,
            response_bytes,
            ..self
        }
    }

    fn multiplexed(self, title: &'static str, busy: usize, streams: usize) -> Self {
        let setting = Setting {
            carries: Carries::Streams,
            ..self.setting
        };
        Self {
            title,
            setting,
            busy,
            streams: Some(streams),
            ..self
        }
    }

    fn routed(self, title: &'static str, routes: Routes) -> Self {
        let setting = Setting {
            routes,
            ..self.setting
        };
        Self {
            title,
            setting,
            ..self
        }
    }
}

/// What a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// CPU per request, as a ratio to this peer's of the same round.
    CpuRatio(Kind),
    /// Bytes of memory per idle connection.
    BytesPerIdle,
    /// Megabytes of memory of the whole proxy.
    MegabytesInAll,
}

/// A goal of the issue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// What it is about.
    pub measure: Measure,
    /// At most this.
    pub must: f64,
    /// And rather this.
    pub aim: f64,
}

impl Workload {
    /// All, in the order of the issue.
    pub(crate) const ALL: [Self; 19] = [
        Self::W1,
        Self::Two,
        Self::Open,
        Self::Hosts,
        Self::Paths,
        Self::W2,
        Self::W3,
        Self::W4,
        Self::W5,
        Self::W6,
        Self::W8,
        Self::Tls,
        Self::Handshake,
        Self::Resumption,
        Self::TlsIdle,
        Self::Tcp,
        Self::Http2,
        Self::Http2One,
        Self::Http2Large,
    ];

    /// Returns its name in the arguments.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::Two => "two",
            Self::Open => "open",
            Self::Hosts => "hosts",
            Self::Paths => "paths",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::W5 => "w5",
            Self::W6 => "w6",
            Self::W8 => "w8",
            Self::Tls => "tls",
            Self::Handshake => "handshake",
            Self::Resumption => "resumption",
            Self::TlsIdle => "tls-idle",
            Self::Tcp => "tcp",
            Self::Http2 => "h2",
            Self::Http2One => "h2-one",
            Self::Http2Large => "h2-16k",
        }
    }

    /// Returns what it does; `rate` replaces its own rate, where it has one.
    pub(crate) fn shape(self, rate: Option<f64>) -> Shape {
        let base = Shape::W1;
        let open = |usual: f64| Pace::Open {
            rate: rate.unwrap_or(usual),
        };
        match self {
            Self::W1 => Shape {
                perlbal: true,
                ..base
            },
            Self::Two => Shape {
                title: "64 B keep-alive GET, 64 connections, two threads",
                setting: Setting {
                    threads: Threads::Two,
                    ..base.setting
                },
                ..base
            },
            Self::Open => Shape {
                title: "64 B keep-alive GET, open loop",
                pace: open(15_000.0),
                ..base
            },
            Self::Hosts => base.routed("w1 past a hundred routes for hosts", Routes::Hosts),
            Self::Paths => base.routed("w1 past a hundred routes for paths", Routes::Paths),
            Self::W2 => Shape {
                title: "16 KiB response",
                response_bytes: 16 << 10,
                perlbal: true,
                ..base
            },
            Self::W3 => Shape {
                title: "1 MiB response, 32 connections",
                busy: 32,
                response_bytes: 1 << 20,
                ..base
            },
            Self::W4 => Shape {
                title: "new connection per request",
                reuse: Reuse::Close,
                perlbal: true,
                ..base
            },
            Self::W5 => Shape {
                title: "POST of 64 KiB",
                request_bytes: 64 << 10,
                perlbal: true,
                ..base
            },
            Self::W6 => Shape {
                title: "5,000 idle keep-alive connections",
                busy: 0,
                idle: 5_000,
                fresh: true,
                ..base
            },
            Self::W8 => Shape {
                title: "10,000 idle + 64 busy, open loop",
                idle: 10_000,
                pace: open(12_000.0),
                fresh: true,
                ..base
            },
            Self::Tls | Self::Handshake | Self::Resumption | Self::TlsIdle => self.secure(),
            Self::Http2 | Self::Http2One | Self::Http2Large => self.multiplexed(),
            Self::Tcp => base.carried("64 KiB responses through TCP, 64 connections", 64 << 10),
        }
    }

    /// Returns what it does by HTTP/2.
    fn multiplexed(self) -> Shape {
        let base = Shape::W1;
        match self {
            Self::Http2One => {
                base.multiplexed("64 B by HTTP/2, 16 connections, a stream each", 16, 1)
            }
            Self::Http2Large => Shape {
                response_bytes: 16 << 10,
                ..base.multiplexed("16 KiB by HTTP/2, 4 connections, 25 streams each", 4, 25)
            },
            Self::W1
            | Self::Two
            | Self::Open
            | Self::Hosts
            | Self::Paths
            | Self::W2
            | Self::W3
            | Self::W4
            | Self::W5
            | Self::W6
            | Self::W8
            | Self::Tls
            | Self::Handshake
            | Self::Resumption
            | Self::TlsIdle
            | Self::Tcp
            | Self::Http2 => {
                base.multiplexed("64 B by HTTP/2, 4 connections, 25 streams each", 4, 25)
            }
        }
    }

    /// Returns what it does by TLS.
    fn secure(self) -> Shape {
        let base = Shape::W1;
        match self {
            Self::Handshake => base.secure("a handshake for each request", Secure::Full),
            Self::Resumption => base.secure("a resumed session for each request", Secure::Resumed),
            Self::TlsIdle => Shape {
                busy: 0,
                idle: 2_000,
                fresh: true,
                ..base.secure("2,000 idle connections of TLS", Secure::Kept)
            },
            Self::W1
            | Self::Two
            | Self::Open
            | Self::Hosts
            | Self::Paths
            | Self::W2
            | Self::W3
            | Self::W4
            | Self::W5
            | Self::W6
            | Self::W8
            | Self::Tcp
            | Self::Http2
            | Self::Http2One
            | Self::Http2Large
            | Self::Tls => base.secure("w1 by TLS 1.3, 32 connections", Secure::Kept),
        }
    }

    /// Returns what the issue wants of it.
    pub(crate) fn goals(self) -> Vec<Goal> {
        let to = |peer, must, aim| Goal {
            measure: Measure::CpuRatio(peer),
            must,
            aim,
        };
        let haproxy = |must, aim| vec![to(Kind::Haproxy, must, aim)];
        match self {
            Self::W1 => vec![to(Kind::Haproxy, 0.85, 0.72), to(Kind::Nginx, 0.90, 0.80)],
            Self::Two => haproxy(0.85, 0.70),
            Self::Open => haproxy(0.90, 0.80),
            // Before has no routes: what they cost.
            Self::Hosts | Self::Paths => {
                vec![to(Kind::Before, 1.05, 1.02), to(Kind::Haproxy, 0.85, 0.72)]
            }
            Self::W2 => haproxy(0.75, 0.60),
            Self::W3 => haproxy(0.60, 0.45),
            Self::W4 => haproxy(1.00, 0.85),
            Self::W5 => haproxy(0.85, 0.70),
            Self::W6 => vec![Goal {
                measure: Measure::BytesPerIdle,
                must: 3_000.0,
                aim: 1_500.0,
            }],
            Self::W8 => vec![Goal {
                measure: Measure::MegabytesInAll,
                must: 45.0,
                aim: 30.0,
            }],
            Self::Tls => haproxy(0.85, 0.70),
            Self::Handshake => haproxy(0.70, 0.62),
            Self::Resumption => haproxy(0.85, 0.70),
            Self::TlsIdle => vec![Goal {
                measure: Measure::BytesPerIdle,
                must: 12_000.0,
                aim: 8_000.0,
            }],
            Self::Tcp => haproxy(0.90, 0.60),
            Self::Http2 | Self::Http2One => haproxy(1.00, 0.85),
            Self::Http2Large => haproxy(1.00, 0.70),
        }
    }
}
