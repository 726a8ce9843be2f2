//! The page of a node with many virtual routers.

use super::browser::Browser;
use super::drawn;
use super::nodes::{Nodes, page};

#[test]
fn page_of_250_virtual_routers_is_read_on_a_phone() {
    let nodes = Nodes::start(248);
    let mut browser = Browser::start(&nodes.client);
    let status = nodes.status(0);
    drawn::read_it_without_scripts(&browser, &page(0), "many", &status);
    browser.open(&page(0));
    browser.wait_until(
        "it is live",
        "return document.getElementById('live').textContent === 'live'",
    );
    let rows = browser.run("return document.querySelectorAll('tr[id^=router-]').length");
    assert_eq!(rows, status.virtual_routers.len());
    drawn::look_at_it(&browser, "many");
    assert_eq!(browser.console(), [""; 0]);
}
