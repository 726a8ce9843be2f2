//! The log while the configuration changes: every line is written once, in one format or the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use evenkeel::config::{AccessLogConfig, AccessLogTarget, Config, Format};

use crate::common::{Backend, PATIENCE, wait_until};
use crate::logged::{read, status, with_log};
use crate::rig::{GET, OK, Rig, setup};

const TEXT: &str = "text {status}";

fn log(to: AccessLogTarget, format: &str) -> impl FnOnce(&mut Config) {
    let format = Format::parse(format).unwrap();
    move |config| config.access_log = Some(AccessLogConfig { to, format })
}

fn logging(backend: &Backend) -> Rig {
    with_log(
        setup(&[backend.address]),
        AccessLogTarget::StandardOutput,
        "json",
    )
    .start()
}

#[test]
fn formats_and_targets_change_under_traffic_and_no_line_is_lost() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    let (one, writer) = std::io::pipe().unwrap();
    rig.proxy.set_access_log(writer.into());
    let one = read(one);
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut others = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = rig.client();
            while !done.load(SeqCst) {
                assert_eq!(client.ask(GET).status(), 200);
                asked.fetch_add(1, SeqCst);
            }
        });
        for round in 0..10 {
            let before = asked.load(SeqCst);
            wait_until("requests end", || asked.load(SeqCst) > before + 20);
            if round % 2 == 0 {
                // To what the one before has.
                rig.reload(log(AccessLogTarget::StandardOutput, TEXT));
                continue;
            }
            let mut config = rig.config.clone();
            let file = format!("/log/{round}");
            log(AccessLogTarget::File(file.into()), "json")(&mut config);
            let generation = rig.prepare(&config, 1);
            let (reader, writer) = std::io::pipe().unwrap();
            rig.proxy.set_access_log(writer.into());
            others.push(read(reader));
            rig.commit(generation);
            let before = asked.load(SeqCst);
            wait_until("requests end", || asked.load(SeqCst) > before + 20);
            let generation = rig.prepare(&rig.config, 1);
            let (reader, writer) = std::io::pipe().unwrap();
            rig.proxy.set_access_log(writer.into());
            others.push(read(reader));
            rig.commit(generation);
        }
        done.store(true, SeqCst);
    });
    rig.drain(PATIENCE);
    let log = status(&rig);
    drop(rig);
    let mut lines: Vec<String> = one.iter().collect();
    lines.extend(others.iter().flatten());
    let texts = lines.iter().filter(|line| line.starts_with("text 200"));
    assert!(texts.count() > 0, "both formats were used");
    let asked = asked.load(SeqCst);
    assert_eq!((lines.len(), log.lines_dropped_total), (asked, 0));
    assert_eq!(log.lines_written_total, asked as u64, "it counts on");
}

#[test]
fn logs_that_come_and_go_have_the_requests_of_their_time() {
    let backend = Backend::saying(OK);
    let rig = logging(&backend);
    let (reader, writer) = std::io::pipe().unwrap();
    rig.proxy.set_access_log(writer.into());
    let lines = read(reader);
    let mut client = rig.client();
    assert_eq!(client.ask(GET).status(), 200);
    rig.reload(|config| config.access_log = None);
    assert_eq!(client.ask(GET).status(), 200);
    assert_eq!(rig.proxy.access_log(), None);
    assert_eq!(lines.iter().count(), 1, "and its sink is closed");
    let generation = rig.prepare(&rig.config, 1);
    let (reader, writer) = std::io::pipe().unwrap();
    rig.proxy.set_access_log(writer.into());
    rig.commit(generation);
    assert_eq!(client.ask(GET).status(), 200);
    let line = read(reader).recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("200"), "{line}");
}
