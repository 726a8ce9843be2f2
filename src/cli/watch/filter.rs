//! What `logs` and `connections` are asked for, as it is written on the command line.

use std::net::IpAddr;
use std::str::FromStr;

use crate::cli::status::StatusError;
use crate::config::check;
use crate::model::Network;

/// Statuses of answers: `5xx`, `404`, `200-299`, or several of these with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    /// Returns whether this is one of them.
    pub(super) fn has(&self, status: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("write 5xx, 404 or 200-299, not {text:?}");
        let number = |text: &str| text.parse().ok().filter(|it| (100..=599).contains(it));
        let range = |text: &str| {
            if let Some(class) = text.strip_suffix("xx") {
                let class = class.parse::<u16>().ok().filter(|_| class.len() == 1)?;
                let first = Some(class).filter(|it| (1..=5).contains(it))? * 100;
                return Some((first, first + 99));
            }
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last))
        };
        let ranges = text.split(',').map(|part| range(part.trim()));
        ranges.collect::<Option<_>>().map(Self).ok_or_else(wrong)
    }
}

/// Clients: an address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(Network);

impl Client {
    /// Returns them as a network.
    pub(crate) const fn network(self) -> Network {
        self.0
    }

    /// Returns whether this is one of them.
    pub(super) fn has(self, client: IpAddr) -> bool {
        self.0.contains(client.to_canonical())
    }
}

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("write an address or a network, as 10.0.0.0/8, not {text:?}");
        check::network(text).map(Self).ok_or_else(wrong)
    }
}

/// Requires that a name which was asked for is one of these, where any are known.
///
/// # Errors
/// That it is not, and what there is.
pub(super) fn require(
    what: &str,
    asked: Option<&str>,
    known: Vec<&str>,
) -> Result<(), StatusError> {
    match asked {
        Some(asked) if !known.is_empty() && !known.contains(&asked) => {
            let known = known.join(", ");
            let text = format!("there is no {what} {asked}; there are: {known}");
            Err(StatusError::Unchanged(text))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classes_numbers_and_ranges() {
        let read = |text: &str| text.parse::<Statuses>().map(|it| it.0);
        assert_eq!(read("5xx"), Ok(vec![(500, 599)]));
        assert_eq!(read("404"), Ok(vec![(404, 404)]));
        assert_eq!(read("200-299, 404"), Ok(vec![(200, 299), (404, 404)]));
        for wrong in [
            "", "6xx", "xx", "50x", "299-200", "99", "5xx,", "+5xx", "200-",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let wanted: Statuses = "5xx,404".parse().expect("right");
        assert!(wanted.has(404) && wanted.has(599) && !wanted.has(200));
    }

    #[test]
    fn clients_are_addresses_and_networks() {
        let has = |client: &str, address: &str| {
            let client: Client = client.parse().expect("a network");
            client.has(address.parse().expect("an address"))
        };
        assert!(has("10.0.0.0/8", "10.9.8.7") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("192.0.2.7", "::ffff:192.0.2.7") && !has("192.0.2.7", "192.0.2.8"));
        assert!(has("2001:db8::/32", "2001:db8::9"));
        assert!("10.0.0.0/33".parse::<Client>().is_err());
    }

    #[test]
    fn a_name_that_is_not_there_is_said_with_those_that_are() {
        let error = require("pool", Some("ap"), vec!["api", "web"]).expect_err("it is not there");
        assert_eq!(
            error.to_string(),
            "there is no pool ap; there are: api, web"
        );
        assert!(
            require("pool", Some("ap"), Vec::new()).is_ok(),
            "nothing is known"
        );
        assert!(require("pool", None, vec!["api"]).is_ok());
    }
}
