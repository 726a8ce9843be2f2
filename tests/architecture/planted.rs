//! The checker checked: violations planted in strings are found, and what only looks like one is
//! not.

use std::collections::BTreeSet;

use super::messages::check_messages;
use super::{
    FILE_LINES_MAX, check_comments, check_crates, check_folders, check_imports, check_log_fields,
    check_makers, check_manners, check_purity, check_unsafe,
};

#[test]
fn planted_imports_are_found() {
    let planted = [
        ("src/model/vrid.rs", "use crate::config::Config;", 1),
        (
            "src/logic/vrrp/router.rs",
            "fn f() { crate::ipc::message::g() }",
            1,
        ),
        (
            "src/logic/vrrp/router.rs",
            "use super::super::balance::pick;",
            1,
        ),
        ("src/logic/vrrp/router.rs", "use super::super::*;", 1),
        (
            "src/logic/vrrp/mod.rs",
            "use crate::{model::{Vrid, Priority}, logic::balance};",
            1,
        ),
        (
            "src/process/proxy/mod.rs",
            "mod tests { use super::super::super::vrrp::run; }",
            1,
        ),
        (
            "src/process/role.rs",
            "pub use crate::process::vrrp::run;",
            1,
        ),
        (
            "src/process/vrrp/mod.rs",
            "use crate::cli as front; use crate as all;",
            2,
        ),
        ("src/ipc/log.rs", "use crate::Shortcut;", 1),
        ("src/ipc/log.rs", "#[path = \"x.rs\"] mod x;", 1),
        (
            "src/process/vrrp/mod.rs",
            "use crate::process::role::Role; use super::role;",
            0,
        ),
        (
            "src/logic/vrrp/router.rs",
            "use super::packet; // use crate::cli\nmod t { use super::*; }",
            0,
        ),
        (
            "src/cli/run.rs",
            "pub(crate) fn f() { let s = \"crate::main\"; crate::lab::up() }",
            0,
        ),
        ("src/main.rs", "use evenkeel::cli;", 0),
    ];
    for (path, text, hoped) in planted {
        let findings = check_imports(path, text);
        assert_eq!(findings.len(), hoped, "{path}: {text}\n{findings:?}");
    }
}

#[test]
fn planted_impurities_are_found() {
    let planted = [
        ("fn f() { let now = std::time::Instant::now(); }", 1),
        (
            "use std::time::{Duration, Instant};\nfn f(at: Instant) { at.elapsed(); }",
            1,
        ),
        (
            "use std::{fs, net::{IpAddr, UdpSocket}, sync::{Arc, Mutex}};",
            3,
        ),
        ("use std::net::*; use tokio::time; use std::sync::Arc;", 2),
        ("use std::time::Instant as Moment;", 1),
        ("async fn f() { println!(\"{}\", fastrand::u8(..)) }", 3),
        ("use std::collections::HashMap;", 1),
        ("fn f(rand: u64) -> u64 { rand + 1 }", 0),
        (
            "/// Instant::now()\nfn f<'a>(now: Instant) -> char { 'x' }",
            0,
        ),
        (
            "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\nfn g() {}",
            0,
        ),
        (
            "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { Instant::now(); }",
            1,
        ),
        ("#[cfg(not(test))]\nfn f() { Instant::now(); }", 1),
    ];
    for (text, hoped) in planted {
        let findings = check_purity("src/logic/vrrp/router.rs", text);
        assert_eq!(findings.len(), hoped, "{text}\n{findings:?}");
    }
}

#[test]
fn planted_fields_of_the_log_are_found() {
    for (text, count) in [
        ("fn f() { tracing::warn!(%error, pid, \"x {}\", g(1)); }", 0),
        ("fn f() { info!(strange = 1, %odd, \"x\"); }", 2),
        ("fn f() { debug!(cause = g(strange, odd), \"x\") }", 0),
        ("fn f() { error!(\"x\"); let strange = 1; }", 0),
    ] {
        let found = check_log_fields("src/a.rs", text);
        assert_eq!(found.len(), count, "{text}: {found:?}");
    }
}

#[test]
fn planted_causes_in_messages_are_found() {
    let planted = [
        ("#[error(\"no: {0}\")]\nA(#[from] io::Error),", 1),
        ("#[error(\"no: {0:?}\")]\n/// Why.\nA(#[source] Inner),", 1),
        ("#[error(\"no: {source}\")] A { source: Inner },", 1),
        (
            "#[error(\"{what}: {error}\")] A { what: u8, #[source] error: Inner }",
            1,
        ),
        ("#[error(\"a \\\"{0}\\\"\", .1)] A(u8, #[source] Inner)", 1),
        (
            "#[error(\"no: {}\", source.kind())] A { path: P<u8, u8>, source: Inner }",
            1,
        ),
        ("#[error(\"no: {0}\")] A(nix::errno::Errno)", 1),
        ("#[error(\"{why}\")] struct A { why: Box<dyn Error> }", 1),
        ("#[error(\"{{source}} {0}\")] A(u8, #[source] Inner)", 0),
        (
            "#[error(\"no\")] A(#[from] io::Error), #[error(\"{0}\")] B(String),",
            0,
        ),
        (
            "#[error(\"{path}\")] A { path: String, source: io::Error }",
            0,
        ),
        (
            "#[error(\"none\")] A, #[error(transparent)] B(#[from] Inner),",
            0,
        ),
    ];
    for (text, hoped) in planted {
        let findings = check_messages("src/a.rs", text);
        assert_eq!(findings.len(), hoped, "{text}\n{findings:?}");
    }
}

#[test]
fn planted_ill_manners_are_found() {
    let planted = [
        ("fn f() {}", 1),
        ("//! Doc.\nfn f() { todo!() }", 1),
        ("//! Doc.\n#[allow(dead_code)]\nfn f() {}", 1),
        ("//! Doc.\n#[expect(dead_code)]\nfn f() {}", 1),
        ("//! Doc.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}", 1),
        (
            "//! Doc.\n#[expect(dead_code, reason = \"x\")]\nfn ignore(allow: u8) { a.expect(\"b\") }",
            0,
        ),
        (
            "//! Doc.\nconst S: &str = r#\"#[allow(x)] \" todo!()\"#; // todo!()",
            0,
        ),
    ];
    for (text, hoped) in planted {
        let findings = check_manners("src/cli/run.rs", text);
        assert_eq!(findings.len(), hoped, "{text}\n{findings:?}");
    }
    let long = format!("//! Doc.\n{}", "\n".repeat(FILE_LINES_MAX));
    assert_eq!(
        check_manners("src/cli/run.rs", &long).len(),
        1,
        "a file of 801 lines is too long"
    );
    let lines = check_manners("a.rs", "//! \"\n/* /* */ */\nfn f() {\n    todo!()\n}");
    assert_eq!(
        lines,
        ["a.rs:4: `todo` is not finished"],
        "the place of a finding is exact"
    );
}

#[test]
fn planted_wide_comments_and_full_folders_are_found() {
    let wide = format!("    // {}\n", "word ".repeat(20));
    assert_eq!(check_comments("a.rs", &wide).len(), 1);
    let drawn = format!(
        "/// ```text\n/// {0}\n/// ```\n/// | {0} |\nlet _ = \"{0}\";\n",
        "x".repeat(120)
    );
    assert_eq!(check_comments("a.rs", &drawn), Vec::<String>::new());
    let paths =
        |count: usize| -> Vec<String> { (0..count).map(|n| format!("src/a/{n}.rs")).collect() };
    for (count, findings) in [(12, 0), (13, 1)] {
        let paths = paths(count);
        assert_eq!(
            check_folders(paths.iter().map(String::as_str)).len(),
            findings
        );
    }
}

#[test]
fn planted_strangers_are_found() {
    let crates = BTreeSet::from(["tokio", "netlink_sys", "serde", "thiserror"].map(String::from));
    let planted = [
        ("src/process/vrrp/mod.rs", "use tokio::net::UdpSocket;", 1),
        (
            "src/process/supervisor/mod.rs",
            "fn f() { netlink_sys::Socket::new(0); }",
            1,
        ),
        (
            "src/model/vrid.rs",
            "#[derive(thiserror::Error)] struct E; use serde::Serialize;",
            1,
        ),
        (
            "src/process/vrrp/host/mod.rs",
            "use netlink_sys::Socket;",
            0,
        ),
    ];
    for (path, text, hoped) in planted {
        let findings = check_crates(path, text, &crates);
        assert_eq!(findings.len(), hoped, "{path}: {text}\n{findings:?}");
    }
    assert_eq!(check_unsafe("src/cli/run.rs", "unsafe { f() }").len(), 1);
    assert_eq!(check_unsafe("src/lab/link.rs", "unsafe { f() }").len(), 0);
    assert_eq!(
        check_makers("src/cli/run.rs", "let vrid = Vrid::new(51);").len(),
        1
    );
    assert_eq!(
        check_makers("src/config/check/router.rs", "Vrid::new(51)").len(),
        0
    );
}
