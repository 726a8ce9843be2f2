//! Smoke.
use evenkeel::config::{NodeName, parse};
#[test]
fn smoke() {
    let text = "virtual_routers:\n  web:\n    interface: eth0\n    vrid: 51\n    priority: {lb1: 150, lb2: 100}\n    addresses: [192.0.2.100/24, \"2001:db8::100/64\"]\nlisteners:\n  http: {virtual_router: web, port: 80, pool: webfarm}\npools:\n  webfarm:\n    backends: {http1: 192.0.2.102:80, http2: {address: \"192.0.2.103:80\", weight: 2}}\n    health_check: {http: {path: /}, interval: 1s}\n";
    let c = parse("x.yaml", text, NodeName::Given("lb1"))
        .map_err(|e| println!("{e}"))
        .unwrap();
    println!("{}", evenkeel::cli::check::describe(&c));
    for bad in [
        "",
        "a: [",
        "virtual_routers:\n",
        "virtual_routers:\n  web:\n    priority: 300\n    vrid: 0 # c\n    prioritty: 3\n    vrid: \"x\"\n    interface:\n    addresses: [192.0.2.1, 2001:db8::100/64, 10.0.0.0/8, foo,\n     \"fe80::1/64\"]\n    lease: 10\nlisteners: {http: {virtual_router: wbe, pool: f, bind: x}}\n",
        "- a\n",
        "a: 1\n---\nb: 2\n",
        "\u{feff}node: 5\r\npools: {}\r\nlisteners: !x {}\r\n",
        "? [a]\n: 5\n",
        "node: *x\n",
    ] {
        println!(
            "==== {bad:?}\n{}",
            parse("/etc/evenkeel/evenkeel.yaml", bad, NodeName::Given("lb1")).unwrap_err()
        );
    }
}
