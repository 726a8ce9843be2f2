//! The tutorial with HTTPS and an application with sessions: nothing is lost when an Apache, then
//! lb1, goes and comes back.
//!
//! The configuration is the tutorial's, with what its reader adds to it. The application counts
//! the requests of each session in a file of its own Apache's, as PHP does; customers come with
//! browsers, with curl and with openssl.

mod browser;
mod customer;
mod journal;
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel::lab::scratch::ScratchDir;

use self::browser::Browser;
use self::customer::{Customer, Means};
use self::journal::{Audit, Event, Visit, Window};
use self::program::{Curl, Openssl};
use super::apache::Apache;
use super::site::{self, PATIENCE, Site, TAKEOVER_MAX};
use crate::clients::https::site::{Authority, NAME};

#[test]
fn sessions_by_https_lose_nothing_while_an_apache_and_then_lb1_go_and_come_back() {
    let mut shop = Shop::open();
    shop.let_in(BROWSERS, CURLS);
    shop.served(PAGES_A_STEP);
    let first = shop.sessions();
    assert!(first.len() == 2, "both Apaches have sessions: {first:?}");

    let gone = shop.name(0);
    shop.happens(Event::ApacheGone(gone.clone()), |site| {
        site.apaches[0].kill();
    });
    shop.site.nodes_see(0, "down");
    shop.served(PAGES_A_STEP);
    assert_eq!(shop.sessions().len(), 1, "all are at the other");
    shop.happens(Event::ApacheBack, |site| {
        site.start_apache(0);
        site.nodes_see(0, "up");
    });
    shop.served(PAGES_A_STEP);
    assert_eq!(shop.sessions().len(), 1, "nobody is moved back");

    shop.let_in(BROWSERS, CURLS);
    let mut openssl = shop.openssl();
    shop.served(PAGES_A_STEP);
    let before = shop.sessions();
    assert!(before.len() == 2, "both Apaches have sessions: {before:?}");
    shop.happens(Event::NodeGone, |site| {
        site.nodes[0].process().kill_family().expect("a node dies");
        site.is(1, "Active");
    });
    shop.served(PAGES_A_STEP);
    openssl.comes_again(shop.site.client());
    assert_eq!(shop.sessions(), before, "each is where it was, on lb2");
    shop.happens(Event::NodeBack, |site| {
        site.start_lb1();
        site.elected();
    });
    shop.served(PAGES_A_STEP);
    openssl.comes_again(shop.site.client());
    assert_eq!(shop.sessions(), before, "each is where it was, on lb1");

    shop.close(first[&gone]);
}

/// The site and who is there. Ends in the order of its fields.
struct Shop {
    customers: Vec<Customer>,
    windows: Vec<Window>,
    site: Site,
    authority: Authority,
    files: ScratchDir,
}

impl Shop {
    fn open() -> Self {
        let files = ScratchDir::new().expect("a directory");
        let authority = Authority::new();
        let (certificate, key) = authority.sign("www", &[NAME]);
        fs::create_dir(files.path().join("tls")).expect("a directory");
        for (name, text) in [
            ("ca.pem", &*authority.pem),
            ("tls/www.crt", &certificate),
            ("tls/www.key", &key),
            ("group.key", &"0123456789abcdef".repeat(4)),
        ] {
            fs::write(files.path().join(name), text).expect("a file");
        }
        Self {
            customers: Vec::new(),
            windows: Vec::new(),
            site: Site::build(&configuration(files.path()), 0),
            authority,
            files,
        }
    }

    /// Lets customers in, each with a session of its own.
    fn let_in(&mut self, browsers: usize, curls: usize) {
        let door = SocketAddr::new(self.site.door.ip(), 443);
        let browsers = (0..browsers).map(|_| {
            let browser = Browser::new(door, &self.authority.pem);
            Means::Browser(Box::new(browser))
        });
        let present = self.customers.len();
        let curls = (0..curls).map(|number| {
            let address = door.ip().to_string();
            let curl = Curl::new(self.files.path(), present + number, &address);
            Means::Curl(curl)
        });
        for means in browsers.chain(curls) {
            let number = self.customers.len();
            let customer = Customer::enter(self.site.client(), number, means);
            self.customers.push(customer);
        }
    }

    fn openssl(&self) -> Openssl {
        let address = self.site.door.ip().to_string();
        Openssl::begin(self.site.client(), self.files.path(), &address)
    }

    /// Returns the name of an Apache.
    fn name(&self, apache: usize) -> String {
        let status = self.site.nodes[0].status().expect("it answers");
        status.pools[0].backends[apache].name.clone()
    }

    /// Does something to the site; until it has ended customers may notice it, and where a node
    /// goes until each has used the connection that it had there.
    fn happens(&mut self, event: Event, what: impl FnOnce(&mut Site)) {
        let from = Instant::now();
        what(&mut self.site);
        match event {
            Event::ApacheGone(_) | Event::ApacheBack => {}
            // The first may have been asked before.
            Event::NodeGone | Event::NodeBack => self.served(2),
        }
        let to = Instant::now();
        self.windows.push(Window { event, from, to });
    }

    /// Waits until each customer has got so many pages from now on.
    fn served(&self, pages: usize) {
        let deadline = Instant::now() + PATIENCE;
        let hoped: Vec<usize> = self
            .customers
            .iter()
            .map(|customer| customer.served() + pages)
            .collect();
        let wait_for = |(customer, hoped): (&Customer, &usize)| customer.served() < *hoped;
        while self.customers.iter().zip(&hoped).any(wait_for) {
            let nodes = &self.site.nodes;
            assert!(
                Instant::now() < deadline,
                "customers wait; lb1: {}\nlb2: {}",
                nodes[0].log(),
                nodes[1].log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns how many sessions each Apache has.
    fn sessions(&self) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for page in self.customers.iter().filter_map(Customer::last) {
            *shares.entry(page.server).or_default() += 1;
        }
        shares
    }

    /// Lets all go, and reads their journals; so many sessions were at the Apache that died.
    fn close(mut self, at_the_gone: usize) {
        let journals: Vec<Vec<Visit>> = self.customers.drain(..).map(Customer::leave).collect();
        self.site.apaches.iter_mut().for_each(Apache::stop);
        let audit = Audit::of(&self.windows, &journals);
        let visits: usize = journals.iter().map(Vec::len).sum();
        let shaken = |is_resumed: bool| {
            let all = journals.iter().flatten().flat_map(|visit| &visit.resumed);
            all.filter(|it| **it == is_resumed).count()
        };
        let noticed: Vec<String> = self
            .windows
            .iter()
            .zip(&audit.noticed)
            .map(|(window, noticed)| format!("{:?}: {noticed}", window.event))
            .collect();
        println!(
            "{} sessions, {visits} requests, {} full and {} resumed handshakes of browsers; {}",
            journals.len(),
            shaken(false),
            shaken(true),
            noticed.join("; ")
        );
        assert_eq!(audit.wrong, [""; 0], "{:#?}", audit.noticed);
        assert_eq!(shaken(false), 2 * BROWSERS, "all others are resumed");
        assert!(shaken(true) >= 2 * 2 * BROWSERS, "on lb2, and on lb1 again");
        let moved: Vec<usize> = audit.noticed.iter().map(|it| it.moved).collect();
        assert_eq!(moved, [at_the_gone, 0, 0, 0]);
        let [_, _, takeover, back] = &audit.noticed[..] else {
            panic!("four things have happened");
        };
        assert!(takeover.longest < TAKEOVER_MAX + UNHEARD, "{takeover:?}");
        assert!(back.longest < BACK_MAX, "{back:?}");
    }
}

/// Returns the tutorial's configuration with what its reader adds for HTTPS and sessions.
fn configuration(files: &Path) -> String {
    let files = files.display();
    let plain = "  http: {virtual_router: web, port: 80, pool: webfarm}\n";
    let secure = format!(
        "  http: {{virtual_router: web, port: 80, https_redirect: true}}
  https: {{virtual_router: web, port: 443, pool: webfarm, tls: {{certificates: {files}/tls}}}}
"
    );
    let example = site::example();
    assert!(example.contains(plain) && example.contains("\npools:\n  webfarm:\n"));
    example.replace(plain, &secure)
        + "    affinity: {cookie: {name: evenkeel}}\n"
        + &format!("group: {{secret: {{file: {files}/group.key}}}}\n")
}

/// Come before an Apache goes, and so many again before lb1 goes.
const BROWSERS: usize = 9;
const CURLS: usize = 2;
/// So many pages each customer wants to see before the next thing happens: a second of them.
const PAGES_A_STEP: usize = 10;
/// What curl waits for a node that does not hear it.
const UNHEARD: Duration = Duration::from_secs(2);
/// The longest time that curl waits for an answer that went with lb2's address, and a second
/// request.
const BACK_MAX: Duration = Duration::from_secs(7);
