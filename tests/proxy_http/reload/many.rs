//! Many reloads under traffic: nothing fails, nothing grows.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use evenkeel::config::{BackendMode, Balance, Config};

use crate::common::Wire;
use crate::rig::{GET, OK, http_check, setup, sockets_at};

const RELOADS: usize = 200;

/// Returns a configuration that differs somehow; one backend of three is always in service.
fn change(config: &mut Config, chance: &mut fastrand::Rng, extra: SocketAddr) -> u16 {
    let pool = &mut config.pools[0];
    if chance.bool() {
        let mut backend = pool.backends[0].clone();
        backend.name = "extra".to_owned();
        backend.address = extra;
        pool.backends.push(backend);
    }
    for backend in &mut pool.backends[1..] {
        backend.weight = chance.u16(1..10);
        backend.requests = chance.bool().then(|| chance.u32(4..20));
        backend.mode = match chance.u8(..4) {
            0 => BackendMode::Drained,
            1 => BackendMode::Maintained,
            _ => BackendMode::Up,
        };
    }
    if chance.bool() {
        pool.balance = Balance::RandomOfTwo;
    }
    if chance.u8(..4) == 0 {
        pool.keep_alive.connections = chance.u32(1..64);
    }
    if chance.u8(..4) == 0 {
        pool.timeouts.queue = Duration::from_secs(chance.u64(5..9));
    }
    let listener = &mut config.listeners[0];
    if chance.bool() {
        listener.timeouts.linger = Duration::from_secs(chance.u64(1..9));
    }
    if chance.bool() {
        listener.limits.connections_per_client = Some(chance.u32(100..200));
    }
    chance.u16(1..=3)
}

/// A backend that keeps nothing of a connection that has ended.
fn plain() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(|| {
                let mut wire = Wire::new(stream.unwrap());
                while wire.request().is_some() {
                    wire.send(OK);
                }
            });
        }
    });
    address
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn two_hundred_reloads_under_traffic_fail_nobody_and_leave_nothing_behind() {
    let all = [(); 4].map(|()| plain());
    let mut setup = setup(&all[..3]).check(http_check(), 1, 10);
    setup.threads = 1;
    let rig = setup.start();
    rig.pass(rig.address, sockets_at(rig.address, 2));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut reload = || {
        let mut config = rig.config.clone();
        let threads = change(&mut config, &mut chance, all[3]);
        if threads == 3 {
            let generation = rig.prepare(&config, threads);
            rig.proxy.forget(generation);
        }
        rig.reload_with(&config, threads);
    };
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = |kept: bool| {
        let mut client = rig.client();
        while !done.load(SeqCst) {
            if !kept {
                client = rig.client();
            }
            assert_eq!(client.ask(GET).status(), 200);
            asked.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = [true, true, true, false]
            .into_iter()
            .map(|kept| scope.spawn(move || ask(kept)))
            .collect();
        // All threads, pools of buffers and connections have been made by then.
        (0..RELOADS / 4).for_each(|_| reload());
        let before = descriptors();
        let began_at = Instant::now();
        (0..RELOADS).for_each(|_| reload());
        println!("a reload takes {:?}", began_at.elapsed() / RELOADS as u32);
        let after = descriptors();
        done.store(true, SeqCst);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        // Connections of clients, kept ones and probes come and go.
        assert!(
            after < before + 40,
            "{before} descriptors have become {after}"
        );
    });
    assert!(asked.load(SeqCst) > RELOADS, "there was traffic");
    assert_eq!(
        rig.proxy.status().0[0].requests_total,
        asked.load(SeqCst) as u64
    );
}
