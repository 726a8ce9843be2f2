//! HTTPS with the peers of Debian: curl and openssl against one node and a pair.
//!
//! Certificates are made for each test. Needs Debian's packages curl and openssl.

mod rotation;
pub(crate) mod site;

use site::{NAME, Site};

#[test]
fn curl_and_openssl_find_nothing_surprising() {
    let site = Site::build(&["lb1"], "");
    for options in [
        &["--tlsv1.3"][..],
        &["--tls-max", "1.2"],
        &["--http1.0"],
        &["--http1.1"],
        &["-X", "POST", "-d", "some=thing"],
        &["-H", "Expect: 100-continue", "-d", "some=thing"],
    ] {
        let said = site.curl(options);
        assert_eq!(said, "200 0\n", "{options:?}");
    }
    let said = site.curl(&["--tls-max", "1.1"]);
    assert!(said.starts_with("000 "), "TLS 1.1 is not spoken: {said}");

    let named = site.s_client(&["-servername", NAME]);
    assert!(named.contains("Verify return code: 0 (ok)"), "{named}");
    assert!(named.contains("subject=CN = www"), "{named}");
    assert!(named.contains("HTTP/1.1 200"), "{named}");
    for option in [&["-noservername"][..], &["-servername", "unknown.example"]] {
        let other = site.s_client(option);
        assert!(other.contains("subject=CN = www"), "the first: {other}");
    }
    for (offered, agreed) in [
        ("http/1.1,h2", "h2"),
        ("http/1.1", "http/1.1"),
        ("h2", "h2"),
    ] {
        let said = site.s_client(&["-servername", NAME, "-alpn", offered]);
        let hoped = format!("ALPN protocol: {agreed}");
        assert!(said.contains(&hoped), "{offered}: {said}");
    }
    let only = site.s_client(&["-servername", NAME, "-alpn", "spdy/3"]);
    assert!(only.contains("no application protocol"), "{only}");
    let plain = site.curl_url("http://192.0.2.100:443/", &["-o", "-"]);
    assert!(plain.contains("tls_required"), "{plain}");

    let status = site.status(0);
    let listener = &status.listeners[0];
    assert_eq!(listener.certificates[0].names, [NAME]);
    assert!(listener.handshakes_total >= 10, "{listener:?}");
    assert!(listener.handshakes_failed_total >= 2, "{listener:?}");
    let names: Vec<&str> = status.processes.iter().map(|it| &*it.name).collect();
    assert!(names.contains(&"evenkeel-keys"), "{names:?}");
}

#[test]
fn clients_show_certificates_to_openssl_s_liking() {
    let clients = "client_certificates: {ca: DIR/ca.pem, required: true}";
    let site = Site::build(&["lb1"], clients);
    let without = site.s_client(&["-servername", NAME]);
    assert!(without.contains("certificate required"), "{without}");
    let (certificate, key) = (site.file("client.crt"), site.file("client.key"));
    let shown = ["-servername", NAME, "-cert", &certificate, "-key", &key];
    let with = site.s_client(&shown);
    assert!(with.contains("HTTP/1.1 200"), "{with}");
}

#[test]
fn every_session_is_resumed_on_the_node_that_has_taken_over() {
    let mut site = Site::build(&["lb1", "lb2"], "");
    let session = site.file("session");
    let open = ["-servername", NAME, "-sess_out", &session];
    let first = site.s_client(&open);
    assert!(first.contains("New, TLSv1.3"), "{first}");
    let resume = ["-servername", NAME, "-sess_in", &session];
    let again = site.s_client(&resume);
    assert!(again.contains("Reused, TLSv1.3"), "{again}");
    site.kill(0);
    for number in 0..20 {
        let moved = site.s_client(&resume);
        assert!(moved.contains("HTTP/1.1 200"), "{number}: {moved}");
        assert!(moved.contains("Reused, TLSv1.3"), "{number}: {moved}");
    }
}
