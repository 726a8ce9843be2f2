//! How often requests and connections may come, of a listener or a route in one generation.
//!
//! What has been counted under a limit outlives its generation: the next one goes on with it, where
//! the limit of that name is the same in everything. There is no lock, and where nothing is limited
//! not even a look at the clock. Read `clients` next, which knows how often each client comes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::config::{ClientKey, ClientRateLimit, RateLimit, RequestRates};
use crate::logic::balance::rate::Limit;
use crate::process::proxy::downstream::clients::{Clients, Exceeded, take};

/// How often requests may come.
#[derive(Clone, Default)]
pub(in crate::process::proxy) struct Rates {
    all: Option<Arc<Bucket>>,
    per_client: Option<Arc<ClientRates>>,
}

impl Rates {
    /// Compiles `config`, which stands in the place of what is said `elsewhere`: of a route, by its
    /// listener. What `before` has of the same goes on.
    pub(in crate::process::proxy) fn new(
        config: &RequestRates,
        elsewhere: &Self,
        before: Option<&Self>,
    ) -> Self {
        let RequestRates {
            requests,
            requests_per_client,
        } = config;
        let all = requests.map(|config| {
            let old = before.and_then(|before| before.all.as_ref());
            let same = old.filter(|old| old.config == config);
            same.map_or_else(|| Arc::new(Bucket::new(config)), Arc::clone)
        });
        let per_client = requests_per_client.as_ref().map(|config| {
            let old = before.and_then(|before| before.per_client.as_ref());
            ClientRates::continued(config, old)
        });
        Self {
            all: all.or_else(|| elsewhere.all.clone()),
            per_client: per_client.or_else(|| elsewhere.per_client.clone()),
        }
    }

    /// Counts a request in, unless it is one too many: of its client's, or of all. One that is
    /// refused to its client is none of all. `values` gives what the request says in a field.
    pub(in crate::process::proxy) fn check<'s, 'v, V: Iterator<Item = &'v [u8]>>(
        &'s self,
        client: IpAddr,
        values: impl FnOnce(&'s str) -> V,
        now_ns: impl FnOnce() -> u64,
    ) -> Result<(), Exceeded> {
        if self.all.is_none() && self.per_client.is_none() {
            return Ok(());
        }
        let now_ns = now_ns();
        if let Some(ClientRates { config, clients }) = self.per_client.as_deref() {
            let named = match &config.by {
                ClientKey::Address => None,
                ClientKey::Header(name) => clients.of_field(values(name)),
            };
            let client = named.unwrap_or_else(|| clients.of_address(client));
            clients.take(client, now_ns)?;
        }
        match self.all.as_deref() {
            Some(bucket) => take(&bucket.tat, &bucket.limit, now_ns),
            None => Ok(()),
        }
    }
}

/// What all clients have together.
struct Bucket {
    config: RateLimit,
    limit: Limit,
    tat: AtomicU64,
}

impl Bucket {
    fn new(config: RateLimit) -> Self {
        Self {
            config,
            limit: limit(config),
            tat: AtomicU64::new(0),
        }
    }
}

/// What each client has.
pub(in crate::process::proxy) struct ClientRates {
    config: ClientRateLimit,
    clients: Clients,
}

impl ClientRates {
    /// Returns what is counted under this limit, which may be going on.
    pub(in crate::process::proxy) fn continued(
        config: &ClientRateLimit,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        if let Some(same) = before.filter(|old| old.config == *config) {
            return Arc::clone(same);
        }
        Arc::new(Self {
            clients: Clients::new(limit(config.limit), config.clients),
            config: config.clone(),
        })
    }

    /// Counts a connection in, unless it is one too many of its client's.
    pub(in crate::process::proxy) fn check(
        &self,
        client: IpAddr,
        now_ns: u64,
    ) -> Result<(), Exceeded> {
        self.clients.take(self.clients.of_address(client), now_ns)
    }
}

fn limit(config: RateLimit) -> Limit {
    Limit::new(config.rate, config.burst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::balance::rate::Rate;

    const NOW_NS: u64 = 1_000_000_000;

    fn rate(burst: u32) -> RateLimit {
        RateLimit {
            rate: Rate::parse("1/h").expect("it is a rate"),
            burst,
        }
    }

    fn per_client(burst: u32, by: ClientKey) -> ClientRateLimit {
        ClientRateLimit {
            limit: rate(burst),
            by,
            clients: 64,
        }
    }

    fn config(all: Option<u32>, each: Option<u32>) -> RequestRates {
        RequestRates {
            requests: all.map(rate),
            requests_per_client: each.map(|burst| per_client(burst, ClientKey::Address)),
        }
    }

    fn rates(all: Option<u32>, each: Option<u32>) -> Rates {
        Rates::new(&config(all, each), &Rates::default(), None)
    }

    fn nothing(_: &str) -> std::iter::Empty<&'static [u8]> {
        std::iter::empty()
    }

    /// Returns how many of ten requests of a client are granted.
    fn granted(rates: &Rates, client: u8) -> usize {
        let address = IpAddr::from([192, 0, 2, client]);
        let checks = (0..10).filter(|_| rates.check(address, nothing, || NOW_NS).is_ok());
        checks.count()
    }

    #[test]
    fn who_asks_too_much_takes_nothing_of_what_all_have() {
        let rates = rates(Some(5), Some(3));
        assert_eq!(
            [1, 1, 2, 3].map(|client| granted(&rates, client)),
            [3, 0, 2, 0]
        );
    }

    #[test]
    fn nothing_is_limited_that_is_not_configured_nor_is_the_clock_asked() {
        let client = IpAddr::from([192, 0, 2, 1]);
        let checked = rates(None, None).check(client, nothing, || panic!("there is no need"));
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn a_route_says_it_in_the_place_of_its_listener_key_by_key() {
        let listener = rates(Some(5), Some(3));
        let own = Rates::new(&config(None, Some(4)), &listener, None);
        let same = Rates::new(&config(None, None), &listener, None);
        assert_eq!(
            [granted(&own, 1), granted(&same, 1)],
            [4, 1],
            "all have five together"
        );
    }

    #[test]
    fn what_was_counted_goes_on_where_the_limit_is_the_same_in_everything() {
        let old = rates(Some(2), Some(2));
        assert_eq!(granted(&old, 1), 2);
        let next = |all, each| Rates::new(&config(all, each), &Rates::default(), Some(&old));
        assert_eq!(granted(&next(None, Some(2)), 1), 0);
        assert_eq!(granted(&next(Some(2), None), 1), 0);
        assert_eq!(
            granted(&next(None, Some(3)), 1),
            3,
            "another limit begins anew"
        );
        assert_eq!(granted(&next(Some(3), None), 1), 3);
    }

    #[test]
    fn clients_may_be_those_that_a_field_names_and_are_addresses_without_it() {
        let by = ClientKey::Header("X-Key".to_owned());
        let config = RequestRates {
            requests: None,
            requests_per_client: Some(per_client(1, by)),
        };
        let rates = Rates::new(&config, &Rates::default(), None);
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        for (client, values, hoped) in [
            (1, &[a][..], true),
            (2, &[a], false),
            (1, &[b], true),
            (1, &[a, b], true),
            (1, &[], true),
            (1, &[], false),
            (2, &[], true),
        ] {
            let address = IpAddr::from([192, 0, 2, client]);
            let said = |name: &str| {
                assert_eq!(name, "X-Key");
                values.iter().copied()
            };
            let is_granted = rates.check(address, said, || NOW_NS).is_ok();
            assert_eq!(is_granted, hoped, "{client} {values:?}");
        }
    }
}
