//! Changes by the page's form and by programs.

use evenkeel::config::BackendMode;

use super::{Rig, TOKEN};

fn mode(rig: &Rig) -> BackendMode {
    rig.daemon.status().unwrap().pools[0].backends[0].mode
}

#[test]
fn without_a_token_nothing_is_changed() {
    let rig = Rig::start();
    let form = format!("subject=backend+webfarm+one&change=drain&token={TOKEN}");
    let answer = rig.ask("POST", "/change", &[], &form);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(mode(&rig), BackendMode::Up);
    assert!(!rig.get("/").body.contains("<form"));
}

#[test]
fn with_the_token_a_form_changes_what_a_command_does() {
    let rig = Rig::with_token();
    assert!(rig.get("/").body.contains("<form"));
    let form = |token: &str| format!("subject=backend+webfarm+one&change=drain&token={token}");
    let wrong = rig.ask("POST", "/change", &[], &form("0123456789abcdef"));
    assert_eq!(
        (wrong.status, wrong.field("www-authenticate")),
        (401, Some("Bearer"))
    );
    assert_eq!(mode(&rig), BackendMode::Up);
    let right = rig.ask("POST", "/change", &[], &form(TOKEN));
    assert_eq!(
        (right.status, right.field("location")),
        (303, Some("/")),
        "{right:?}"
    );
    assert_eq!(mode(&rig), BackendMode::Drained);
    rig.daemon.wait("the page says so", |_| {
        rig.get("/").body.contains(">drained<")
    });
    let unknown = form(TOKEN).replace("one", "two");
    let refused = rig.ask("POST", "/change", &[], &unknown);
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.body.contains("two"), "{refused:?}");
}

#[test]
fn with_the_token_a_program_changes_what_a_command_does() {
    let rig = Rig::with_token();
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let ask = |body: &str| rig.ask("POST", "/api/change", &[&bearer], body);
    let answer = ask(r#"{"backend": {"pool": "webfarm", "backend": "one", "change": "maintain"}}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.body.contains("backend one mode up to maintained"),
        "{answer:?}"
    );
    assert_eq!(mode(&rig), BackendMode::Maintained);
    assert_eq!(ask("{").status, 400);
    let reload = ask(r#"{"reload": {"file": null, "dry_run": false}}"#);
    assert_eq!(
        reload.status, 400,
        "a reload is asked for on the node: {reload:?}"
    );
}
