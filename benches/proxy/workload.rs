//! The workloads of the issues, and what each of them has to show.

use crate::load::multiplexed::{Asks, Streams};
use crate::load::secure::Secure;
use crate::load::{Pace, Reuse};
use crate::peers::{Behind, Carries, Kind, Routes, Setting, Threads};

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Workload {
    /// Its name in the arguments.
    pub name: &'static str,
    /// What it does.
    pub shape: Shape,
    /// What an issue wants of it.
    pub goals: &'static [Goal],
}

/// What a workload sends, and through whom.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// What is asked on the streams of each connection, where HTTP/2 is spoken.
    pub streams: Option<Streams>,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Goal {
    /// What it is about.
    pub measure: Measure,
    /// At most this.
    pub must: f64,
    /// And rather this.
    pub aim: f64,
}

impl Workload {
    /// All, in the order of the issues.
    pub(crate) const ALL: [Self; 22] = [
        new(
            "w1",
            Shape {
                perlbal: true,
                ..W1
            },
            &[to(Kind::Haproxy, 0.85, 0.72), to(Kind::Nginx, 0.90, 0.80)],
        ),
        new("two", TWO, &[haproxy(0.85, 0.70)]),
        new(
            "open",
            Shape {
                title: "64 B keep-alive GET, open loop",
                pace: Pace::Open { rate: 15_000.0 },
                ..W1
            },
            &[haproxy(0.90, 0.80)],
        ),
        new(
            "hosts",
            routed("w1 past a hundred routes for hosts", Routes::Hosts),
            ROUTED,
        ),
        new(
            "paths",
            routed("w1 past a hundred routes for paths", Routes::Paths),
            ROUTED,
        ),
        new(
            "w2",
            Shape {
                title: "16 KiB response",
                response_bytes: 16 << 10,
                perlbal: true,
                ..W1
            },
            &[haproxy(0.75, 0.60)],
        ),
        new(
            "w3",
            Shape {
                title: "1 MiB response, 32 connections",
                busy: 32,
                response_bytes: 1 << 20,
                ..W1
            },
            &[haproxy(0.60, 0.45)],
        ),
        new(
            "w4",
            Shape {
                title: "new connection per request",
                reuse: Reuse::Close,
                perlbal: true,
                ..W1
            },
            &[haproxy(1.00, 0.85)],
        ),
        new(
            "w5",
            Shape {
                title: "POST of 64 KiB",
                request_bytes: 64 << 10,
                perlbal: true,
                ..W1
            },
            &[haproxy(0.85, 0.70)],
        ),
        new(
            "w6",
            idle("5,000 idle keep-alive connections", 5_000),
            &[bytes_per_idle(3_000.0, 1_500.0)],
        ),
        new(
            "w8",
            Shape {
                busy: 64,
                pace: Pace::Open { rate: 12_000.0 },
                ..idle("10,000 idle + 64 busy, open loop", 10_000)
            },
            &[Goal {
                measure: Measure::MegabytesInAll,
                must: 45.0,
                aim: 30.0,
            }],
        ),
        new(
            "tls",
            secure(
                Shape {
                    title: "w1 by TLS 1.3, 32 connections",
                    busy: 32,
                    ..W1
                },
                Secure::Kept,
            ),
            &[haproxy(0.85, 0.70)],
        ),
        new(
            "handshake",
            secure(
                Shape {
                    title: "a handshake for each request",
                    busy: 32,
                    ..W1
                },
                Secure::Full,
            ),
            &[haproxy(0.70, 0.62)],
        ),
        new(
            "resumption",
            secure(
                Shape {
                    title: "a resumed session for each request",
                    busy: 32,
                    ..W1
                },
                Secure::Resumed,
            ),
            &[haproxy(0.85, 0.70)],
        ),
        new(
            "tls-idle",
            secure(idle("2,000 idle connections of TLS", 2_000), Secure::Kept),
            &[bytes_per_idle(12_000.0, 8_000.0)],
        ),
        new(
            "tcp",
            carried("64 KiB responses through TCP, 64 connections", 64 << 10),
            &[haproxy(0.90, 0.60)],
        ),
        new(
            "h2",
            multiplexed(
                "64 B by HTTP/2, 4 connections, 25 streams each",
                4,
                gets(25),
            ),
            &[haproxy(1.00, 0.85)],
        ),
        new(
            "h2-one",
            multiplexed("64 B by HTTP/2, 16 connections, a stream each", 16, gets(1)),
            &[haproxy(1.00, 0.85)],
        ),
        new(
            "h2-16k",
            Shape {
                response_bytes: 16 << 10,
                ..multiplexed(
                    "16 KiB by HTTP/2, 4 connections, 25 streams each",
                    4,
                    gets(25),
                )
            },
            &[haproxy(1.00, 0.70)],
        ),
        new(
            "h2-h2",
            behind(
                multiplexed(
                    "64 B by HTTP/2, to HTTP/2 backends, 4 connections, 25 streams each",
                    4,
                    gets(25),
                ),
                Behind::Http2,
            ),
            &[haproxy(1.00, 0.85)],
        ),
        new(
            "grpc",
            behind(
                multiplexed(
                    "unary gRPC calls of 64 B, 4 connections, 25 calls each",
                    4,
                    Streams {
                        each: 25,
                        asks: Asks::Call,
                    },
                ),
                Behind::Http2,
            ),
            &[haproxy(1.00, 0.85)],
        ),
        new(
            "h2-idle",
            secure(
                Shape {
                    setting: Setting {
                        carries: Carries::Streams,
                        ..W1.setting
                    },
                    ..idle("2,000 idle connections of HTTP/2 by TLS", 2_000)
                },
                Secure::Multiplexed,
            ),
            &[bytes_per_idle(24_000.0, 24_000.0)],
        ),
    ];

    /// Returns it with another rate, where it has one.
    pub(crate) fn at_rate(mut self, rate: Option<f64>) -> Self {
        if let (Pace::Open { rate: usual }, Some(rate)) = (&mut self.shape.pace, rate) {
            *usual = rate;
        }
        self
    }
}

/// What most are variations of.
const W1: Shape = Shape {
    title: "64 B keep-alive GET, 64 connections, one thread",
    setting: Setting {
        threads: Threads::One,
        routes: Routes::None,
        tls: false,
        carries: Carries::Requests,
        behind: Behind::Http1,
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

const TWO: Shape = Shape {
    title: "64 B keep-alive GET, 64 connections, two threads",
    setting: Setting {
        threads: Threads::Two,
        ..W1.setting
    },
    ..W1
};

/// Before has no routes: what they cost.
const ROUTED: &[Goal] = &[to(Kind::Before, 1.05, 1.02), haproxy(0.85, 0.72)];

const fn new(name: &'static str, shape: Shape, goals: &'static [Goal]) -> Workload {
    Workload { name, shape, goals }
}

const fn routed(title: &'static str, routes: Routes) -> Shape {
    Shape {
        title,
        setting: Setting {
            routes,
            ..W1.setting
        },
        ..W1
    }
}

const fn idle(title: &'static str, idle: usize) -> Shape {
    Shape {
        title,
        busy: 0,
        idle,
        fresh: true,
        ..W1
    }
}

const fn secure(shape: Shape, secure: Secure) -> Shape {
    Shape {
        setting: Setting {
            tls: true,
            ..shape.setting
        },
        secure: Some(secure),
        ..shape
    }
}

const fn carried(title: &'static str, response_bytes: usize) -> Shape {
    Shape {
        title,
        setting: Setting {
            carries: Carries::Bytes,
            ..W1.setting
        },
        response_bytes,
        ..W1
    }
}

const fn multiplexed(title: &'static str, busy: usize, streams: Streams) -> Shape {
    Shape {
        title,
        setting: Setting {
            carries: Carries::Streams,
            ..W1.setting
        },
        busy,
        streams: Some(streams),
        ..W1
    }
}

const fn behind(shape: Shape, behind: Behind) -> Shape {
    Shape {
        setting: Setting {
            behind,
            ..shape.setting
        },
        ..shape
    }
}

const fn gets(each: usize) -> Streams {
    Streams {
        each,
        asks: Asks::Get,
    }
}

const fn to(peer: Kind, must: f64, aim: f64) -> Goal {
    Goal {
        measure: Measure::CpuRatio(peer),
        must,
        aim,
    }
}

const fn haproxy(must: f64, aim: f64) -> Goal {
    to(Kind::Haproxy, must, aim)
}

const fn bytes_per_idle(must: f64, aim: f64) -> Goal {
    Goal {
        measure: Measure::BytesPerIdle,
        must,
        aim,
    }
}
