//! What is known of a request when its route is looked for.

use std::fmt;
use std::net::IpAddr;

/// A request, as far as routes look at it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Without a port, as the client wrote it.
    pub host: &'a [u8],
    /// In normal form, without the query.
    pub path: &'a str,
    /// With or without its `?`.
    pub query: &'a str,
    /// The method.
    pub method: &'a str,
    /// The client's own address.
    pub client: IpAddr,
    /// Whether the head has a field of this name, and of this value where one is given.
    pub has_field: &'a dyn Fn(&str, Option<&str>) -> bool,
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = String::from_utf8_lossy(self.host);
        write!(
            f,
            "{} {host} {}{} from {}",
            self.method, self.path, self.query, self.client
        )
    }
}
