//! What is accepted although something is wrong with it.

use super::*;
use crate::logic::vrrp::Anomaly;

fn anomalies(bench: &mut Bench) -> Vec<(Anomaly, IpAddr)> {
    let actions = std::iter::from_fn(|| bench.router.poll_action());
    let warnings = actions.filter_map(|action| match action {
        Action::Warn { anomaly, source } => Some((anomaly, source)),
        Action::SendAdvertisement { .. }
        | Action::InstallAddresses
        | Action::RenewAddresses
        | Action::SuppressAddresses
        | Action::RemoveAddresses
        | Action::Announce { .. }
        | Action::Report(_) => None,
    });
    warnings.collect()
}

#[test]
fn each_kind_is_warned_of_with_its_source_and_counted_every_time() {
    let own = Parameters {
        priority: Priority::OWNER,
        ..parameters()
    };
    let mut bench = Bench::started(own);
    anomalies(&mut bench);
    let source = IpAddr::from([192, 0, 2, 9]);
    let odd = Advertisement {
        vrid: bench.router.parameters().vrid,
        priority: Priority::OWNER,
        interval: AdverInterval::MAX,
        addresses: vec![
            "2001:db8::1".parse().expect("an address"),
            bench.router.parameters().addresses[0],
        ],
    };
    let hear = |bench: &mut Bench| {
        bench.router.handle_advertisement(bench.now, source, &odd);
        anomalies(bench)
    };
    let all = [
        Anomaly::OwnerConflict,
        Anomaly::OtherInterval,
        Anomaly::OtherAddresses,
        Anomaly::LinkLocalMissing,
    ];
    assert_eq!(hear(&mut bench), all.map(|anomaly| (anomaly, source)));
    assert_eq!(hear(&mut bench), [], "once a minute");
    bench.pass(Duration::from_secs(60));
    assert_eq!(hear(&mut bench).len(), 4);
    let counters = bench.router.counters();
    let counted = [
        counters.owner_conflicts,
        counters.interval_errors,
        counters.address_list_errors,
        counters.link_local_missing,
    ];
    assert_eq!(counted, [3; 4]);
}

/// RFC 9568 §6.4.1: whatever it hears before its group lets it, it becomes Active, and then obeys.
#[test]
fn owner_that_hears_another_one_first_is_active_all_the_same() {
    for (other, last) in [(9, "Active"), (200, "Backup")] {
        let mut bench = Bench::started(Parameters {
            priority: Priority::OWNER,
            in_sync_group: true,
            ..parameters()
        });
        bench.hear(other, 255);
        bench.hear(other, 0);
        bench.hear(other, 255);
        assert_eq!(bench.until_timeout(), Duration::ZERO, "it does not wait");
        bench.run_to_timeout();
        bench.hear(other, 255);
        bench.router.promote(bench.now);
        assert!(bench.router.state().is_active());
        bench.hear(other, 255);
        assert_eq!(bench.router.state().name(), last, "against .{other}");
        assert_eq!(bench.router.counters().owner_conflicts, 4);
    }
}

#[test]
fn what_is_as_it_should_be_is_not_warned_of() {
    let mut bench = Bench::backup();
    bench.hear(9, 200);
    assert_eq!(anomalies(&mut bench), []);
}
