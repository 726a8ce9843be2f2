//! What is not said is as the manual has it.

use insta::assert_snapshot;

use super::accepted;
use crate::listener;

#[test]
#[expect(clippy::too_many_lines, reason = "one whole configuration")]
fn defaults_are_those_of_the_manual() {
    let text = listener("virtual_router: web\n    port: 80\n    pool: farm");
    assert_snapshot!(format!("{:#?}", accepted(&text)), @r#"
    Config {
        node: "lb1",
        virtual_routers: [
            VirtualRouterConfig {
                name: RouterName {
                    entry: "web",
                    family: Ipv4,
                },
                sync_group: "web",
                interface: "eth0",
                vrid: Vrid(
                    51,
                ),
                version: V3,
                peers: [],
                peer_hops: 0,
                address_interface: "eth0",
                checksum: Rfc5798,
                authentication: None,
                priority: Priority(
                    100,
                ),
                rank: Rank {
                    base: Priority(
                        100,
                    ),
                    place: 1,
                    nodes: 1,
                },
                priorities: {},
                addresses: [
                    VirtualAddress {
                        address: 192.0.2.100,
                        prefix_len: 24,
                    },
                ],
                advertisement_interval: AdverInterval(
                    100,
                ),
                down_multiplier: 3,
                announcements: AnnouncementPlan {
                    repeat: 5,
                    delay: 5s,
                    refresh: Some(
                        60s,
                    ),
                },
                announcement_pace: 0ns,
                accept: true,
                virtual_mac: false,
                notify: [],
                track: TrackConfig {
                    conditions: [],
                    processes: [],
                    gateways: [],
                },
                preempt: Always,
                lease: 2s,
                link: LinkRules {
                    required: true,
                    up_delay: 0ns,
                },
            },
        ],
        track_scripts: [],
        listeners: [
            ListenerConfig {
                name: "http",
                virtual_router: Some(
                    "web",
                ),
                binds: [
                    192.0.2.100:80,
                ],
                mode: Http,
                routes: [],
                https_redirect: None,
                pool: Some(
                    "farm",
                ),
                request_fields: FieldEdits {
                    remove: [],
                    set: [],
                    add: [],
                },
                response_fields: FieldEdits {
                    remove: [],
                    set: [],
                    add: [],
                },
                timeouts: ListenerTimeouts {
                    handshake: 10s,
                    request_head: 10s,
                    keep_alive: 60s,
                    request_body: 30s,
                    idle: 60s,
                    tunnel: 3600s,
                    client_fin: 10s,
                    linger: 30s,
                },
                limits: ListenerLimits {
                    head_bytes: 32768,
                    fields: 100,
                    target_bytes: 8192,
                    body_bytes: None,
                    body_rate: 100,
                    connections: None,
                    connections_per_client: None,
                    connection_rate_per_client: None,
                    rates: RequestRates {
                        requests: None,
                        requests_per_client: None,
                    },
                },
                forwarding: ForwardingConfig {
                    trusted_proxies: [],
                    proxy_fields: [],
                    forwarded: Omit,
                    via: Omit,
                    request_id: Send,
                },
                access_log: true,
                upgrades: [
                    Protocol(
                        "websocket",
                    ),
                ],
                trace: false,
                error_pages: ErrorPages(
                    {},
                ),
                maintenance: MaintenanceConfig {
                    page: None,
                    allow: [],
                    retry_after: 300s,
                    mode: Serving,
                },
                tls: None,
                http2: Http2Config {
                    offered: true,
                    prior_knowledge: false,
                    streams: 100,
                    memory_bytes: 2097152,
                },
                proxy_protocol: [],
            },
        ],
        pools: [
            PoolConfig {
                name: "farm",
                backends: [
                    BackendConfig {
                        name: "a",
                        address: 192.0.2.10:80,
                        weight: 1,
                        requests: None,
                        mode: Up,
                        tier: Primary,
                        origin: Written,
                    },
                ],
                follow: Follow {
                    file: None,
                    names: [],
                    interval: 10s,
                },
                balance: RandomOfTwo,
                health_check: Probe(
                    ProbeConfig {
                        kind: Tcp(
                            TcpProbe {
                                send: "",
                                receive: "",
                            },
                        ),
                        interval: 1s,
                        interval_changing: 1s,
                        port: None,
                        tls: true,
                        timeout: 1s,
                        rise: 2,
                        fall: 2,
                    },
                ),
                timeouts: PoolTimeouts {
                    connect: 1s,
                    response_head: 30s,
                    queue: 5s,
                    backend_fin: 10s,
                },
                keep_alive: KeepAliveConfig {
                    timeout: 4s,
                    connections: 128,
                    reuse: Safe,
                },
                slow_start: 0ns,
                fallback: None,
                ejection: None,
                affinity: None,
                tls: None,
                protocol: Http1,
                proxy_protocol: None,
                buffer_requests: None,
                reproxy: None,
            },
        ],
        proxy: ProxyConfig {
            threads: None,
            drain: 5s,
            connections: 20000,
            connection_bytes: 262144,
        },
        access_log: None,
        group: GroupConfig {
            secret: [],
        },
        admin: None,
    }
    "#);
}
