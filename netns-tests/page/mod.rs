//! The status page in a real browser, and the metrics in a real Prometheus.
//!
//! The browser is Debian's Chromium without a head, led through chromedriver (W3C WebDriver and the
//! DevTools protocol). All programs run on the client's host of a lab; nothing leaves it.

mod axe;
mod browser;
mod drawn;
mod failover;
mod many;
mod nodes;
mod program;
mod scrape;
mod wire;
