//! Smoke.
use evenkeel::config::{NodeName, parse};
#[test]
fn smoke() {
    for bad in [
        "a: [",
        "node: 5\r\npools: {}\r\nlisteners: !x {}\r\n",
        "\u{feff}a: b\r\nlisteners: {}",
        "listeners: {http: {bind: [\"[::]:80\", \"0.0.0.0:80\", 10.0.0.1:80], pool: p}}\npools: {p: {backends: {a: 127.0.0.1:80, b: localhost:80, c: 10.0.0.1, d: 1:2:3, e: [], f: {weight: 0}, 1: 10.0.0.1:0, true: 10.0.0.1:99999}}}\nx: &a 1\ny: *a\n<<: {node: a}\nproxy: &p {thread: 1}\nnode: ä\n",
        "node: lb1\nlisteners:\n\thttp: x\n",
        "node: \"a\nlisteners: {}\n",
        "node: {a: b]\n",
        "a: b: c\n",
        "listeners: {http: {bind: ['1.2.3.4:80'], pool: p, timeouts: {idle: 1.5, request_head: 1d}}}\npools: {p: {backends: {a: 10.1.1.1:80}, balance: round_robbin, health_check: {http: {path: \"a b\", expect: [20, \"300-200\"], host: \"a b\"}, tcp: {}, fall: 0, interval: 10, timeout: 0s}}}",
        "a: 'x\ty'\u{1}\n",
        "%YAML 3.0\n---\na: b",
        "node: !!int \"x\"\nlisteners: {}",
        "node: .nan\nlisteners: {<<: {a: 1}, 0xB: 2, 11: 3}\n",
        "node: no\nlisteners: {a:\n    {pool:  }}\n",
    ] {
        println!(
            "==== {bad}\n{}",
            parse(
                "/etc/evenkeel/evenkeel.yaml",
                bad,
                NodeName::HostName("lb1")
            )
            .unwrap_err()
        );
    }
}
