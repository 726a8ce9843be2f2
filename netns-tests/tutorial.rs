//! The founding tutorial: two load balancers, two Debian Apaches, and visitors who notice nothing
//! wrong.
//!
//! The configuration is `config/examples/tutorial.yaml` as it lies there; the lab gives its hosts
//! the addresses that stand in it; `sessions` adds HTTPS and sessions to it, as its reader may.
//! Needs Debian's package apache2; Apache never runs as root here.

pub(crate) mod apache;
mod sessions;
mod site;
mod visitor;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use apache::{Apache, Entry};
use site::{CLIENT, LB1, LB2, PATIENCE, Site, TAKEOVER_MAX};
use visitor::{Tally, Visitor};

#[test]
fn visitors_are_answered_rightly_while_an_apache_and_then_a_node_go() {
    let mut story = Story::begin();

    story.served(PAGES_A_STEP);
    for (tally, visitor) in story.tallies().iter().zip(&story.visitors) {
        assert_eq!(tally.failed, [""; 0], "nothing has happened yet");
        assert_eq!(tally.connections, 1, "the connection is kept: {tally:#?}");
        assert!(tally.cookie.is_some(), "hoped for {visitor:?}'s cookie");
    }
    for apache in &story.site.apaches {
        assert!(!apache.pages().is_empty(), "hoped that both are asked");
    }

    // A request that the Apache has and does not answer any more may fail: one of each visitor.
    story.site.apaches[0].stop();
    story.site.nodes_see(0, "down");
    let failed = story.failed();
    assert!(failed <= VISITORS, "{:#?}", story.tallies());
    story.served(PAGES_A_STEP);
    assert_eq!(
        story.failed(),
        failed,
        "the health check has noticed: {:#?}",
        story.tallies()
    );

    story.site.nodes[0]
        .process()
        .kill_family()
        .expect("a node dies");
    let died_at = Instant::now();
    story.served(1);
    let takeover = died_at.elapsed();
    assert!(takeover < TAKEOVER_MAX, "{takeover:?}");
    let failed = story.failed();
    story.served(PAGES_A_STEP);
    assert_eq!(
        story.failed(),
        failed,
        "lb2 has taken over: {:#?}",
        story.tallies()
    );

    story.leave();
}

/// The visitors and what they visit. Ends in the order of its fields.
struct Story {
    visitors: Vec<Visitor>,
    site: Site,
}

impl Story {
    /// Builds the site, and lets the visitors in.
    fn begin() -> Self {
        let site = Site::build(&site::example(), PAGES);
        let visitors = visitors(&site);
        Self { visitors, site }
    }

    /// Waits until each visitor has got so many pages from now on.
    fn served(&self, pages: usize) {
        let deadline = Instant::now() + PATIENCE;
        let hoped: Vec<usize> = self.tallies().iter().map(|t| t.served + pages).collect();
        while self
            .tallies()
            .iter()
            .zip(&hoped)
            .any(|(t, hoped)| t.served < *hoped)
        {
            assert!(
                Instant::now() < deadline,
                "hoped for {hoped:?} pages: {:#?}\nlb2: {}",
                self.tallies(),
                self.site.nodes[1].log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns how many requests failed so far.
    fn failed(&self) -> usize {
        self.tallies().iter().map(|tally| tally.failed.len()).sum()
    }

    fn tallies(&self) -> Vec<Tally> {
        self.visitors.iter().map(Visitor::tally).collect()
    }

    /// Lets the visitors go and looks at what they and the Apaches have seen.
    fn leave(mut self) {
        let tallies: Vec<Tally> = self.visitors.drain(..).map(Visitor::leave).collect();
        for tally in &tallies {
            assert_eq!(tally.wrong, [""; 0], "a visitor got a wrong answer");
        }
        let cookies: Vec<&str> = tallies.iter().filter_map(|t| t.cookie.as_deref()).collect();
        self.site.apaches[1].stop();
        let [first, second] = self.site.apaches.each_ref().map(Apache::pages);
        for entry in first.iter().chain(&second) {
            assert_eq!(entry.forwarded_for, CLIENT, "{entry:?}");
            let known = entry.cookie == "-" || cookies.contains(&entry.cookie.as_str());
            assert!(known, "a cookie of nobody in {cookies:?}: {entry:?}");
        }
        let through = |entries: &[Entry], node: &str| {
            let from = |entry: &&Entry| entry.peer == node && entry.status == "200";
            entries.iter().filter(from).count()
        };
        assert!(through(&first, LB1) > 0, "before the first Apache ended");
        assert_eq!(through(&first, LB2), 0, "it had ended when lb2 took over");
        assert!(through(&second, LB1) > 0, "before the failover");
        assert!(through(&second, LB2) > 0, "after the failover");
    }
}

/// Lets all visitors in, each with pages that no other asks for.
fn visitors(site: &Site) -> Vec<Visitor> {
    let address: IpAddr = CLIENT.parse().expect("an address");
    assert_eq!(address.is_ipv4(), site.door.is_ipv4(), "the door is IPv4");
    (0..VISITORS)
        .map(|number| {
            let pages = (number..PAGES).step_by(VISITORS).collect();
            Visitor::enter(site.client(), site.door, pages)
        })
        .collect()
}

/// Each has one connection and one request at a time.
const VISITORS: usize = 3;
/// So many pages has each Apache.
const PAGES: usize = 99;
/// So many pages each visitor wants to see before the next thing happens: more than a second of
/// them.
const PAGES_A_STEP: usize = 200;
