//! How often each client comes: the buckets of many, in a table of fixed size that all workers
//! share without a lock.
//!
//! A client is a hash under a key that is drawn when the table is made: nobody outside can aim at
//! the place of another. A place is a tag, the whole hash, and the moment of
//! `logic::balance::rate`; eight places are a set, the only one in which a client can be. Who is
//! new takes the place of the bucket that is full the longest: of a full bucket nothing is
//! forgotten. Only where all eight of a set are in use, the one that has used least is forgotten,
//! and may come as if it were new.
//!
//! What two threads do to one place at once never grants too much: a grant counts only when the
//! place was the client's before and after. Two threads that let the same client in at once may
//! give it two places for a moment, and only if a third changes the set between their looks; the
//! later one goes. All accesses are `SeqCst`, so that of two that do so one sees the other.

use std::array;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::logic::balance::limits::client_of;
use crate::logic::balance::rate::{Limit, Verdict, decide};
use crate::process::proxy::memory::WAYS;

/// The buckets of clients.
pub(in crate::process::proxy) struct Clients {
    limit: Limit,
    seed: RandomState,
    /// Made when the first client of a block comes: a table that is new costs next to nothing,
    /// on the thread that makes it.
    blocks: Box<[OnceLock<Block>]>,
    sets: usize,
}

/// Sets that are made together.
type Block = Box<[Set; SETS_A_BLOCK]>;

/// A client, in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) struct ClientHash(u64);

/// More has come than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process::proxy) struct Exceeded {
    pub(in crate::process::proxy) retry_after_ns: u64,
}

/// Tags are looked at first: they fill a line of the cache.
#[repr(align(128))]
struct Set {
    /// 0: the place is free.
    tags: [AtomicU64; WAYS],
    tats: [AtomicU64; WAYS],
}

impl Clients {
    /// Returns a table for so many clients at least.
    pub(in crate::process::proxy) fn new(limit: Limit, clients: u32) -> Self {
        let sets = usize::try_from(clients)
            .unwrap_or(usize::MAX)
            .div_ceil(WAYS);
        Self {
            limit,
            seed: RandomState::new(),
            blocks: (0..sets.max(1).div_ceil(SETS_A_BLOCK))
                .map(|_| OnceLock::new())
                .collect(),
            sets: sets.max(1),
        }
    }

    /// Returns the client of an address.
    pub(in crate::process::proxy) fn of_address(&self, address: IpAddr) -> ClientHash {
        let mut hasher = self.seed.build_hasher();
        // No field can be the address of another.
        match client_of(address) {
            IpAddr::V4(address) => {
                hasher.write_u8(4);
                hasher.write(&address.octets());
            }
            IpAddr::V6(address) => {
                hasher.write_u8(6);
                hasher.write(&address.octets());
            }
        }
        ClientHash::of(&hasher)
    }

    /// Returns the client that the values of a field name, where there is one.
    pub(in crate::process::proxy) fn of_field<'v>(
        &self,
        mut values: impl Iterator<Item = &'v [u8]>,
    ) -> Option<ClientHash> {
        let mut hasher = self.seed.build_hasher();
        let mut value = values.next()?;
        loop {
            hasher.write_u8(0);
            hasher.write_usize(value.len());
            hasher.write(value);
            match values.next() {
                Some(next) => value = next,
                None => return Some(ClientHash::of(&hasher)),
            }
        }
    }

    /// Takes a token from a client's bucket.
    pub(in crate::process::proxy) fn take(
        &self,
        client: ClientHash,
        now_ns: u64,
    ) -> Result<(), Exceeded> {
        let ClientHash(tag) = client;
        let set = self.set(self.set_of(tag));
        for _ in 0..TRIES_MAX {
            let Some(way) = set.find(tag).or_else(|| set.enter(tag, now_ns)) else {
                continue;
            };
            let is_own = || set.tags[way].load(SeqCst) == tag;
            let taken = take_while(&set.tats[way], &self.limit, now_ns, is_own);
            if let Some(taken) = taken {
                return taken;
            }
        }
        // It is forgotten faster than it can be counted.
        Ok(())
    }

    fn set(&self, number: usize) -> &Set {
        let block = &self.blocks[number / SETS_A_BLOCK];
        let block = block.get_or_init(|| Box::new(array::from_fn(|_| Set::new())));
        &block[number % SETS_A_BLOCK]
    }

    fn set_of(&self, tag: u64) -> usize {
        let scaled = u128::from(tag) * self.sets as u128;
        // Less than the number of sets.
        usize::try_from(scaled >> 64).unwrap_or(0)
    }
}

/// 32 KiB of places.
const SETS_A_BLOCK: usize = 256;

impl ClientHash {
    fn of(hasher: &impl Hasher) -> Self {
        Self(hasher.finish().max(1))
    }
}

impl Set {
    fn new() -> Self {
        Self {
            tags: array::from_fn(|_| AtomicU64::new(FREE)),
            tats: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn find(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|own| own.load(SeqCst) == tag)
    }

    /// Takes a place, with a full bucket; `None` where another was faster.
    fn enter(&self, tag: u64, now_ns: u64) -> Option<usize> {
        let places = self.tags.iter().zip(&self.tats).enumerate();
        let places = places.map(|(way, (own, tat))| (own.load(SeqCst), tat.load(SeqCst), way));
        let (old, tat, way) = places.min_by_key(|(own, tat, _)| (*own != FREE, *tat))?;
        self.tags[way]
            .compare_exchange(old, tag, SeqCst, SeqCst)
            .ok()?;
        if tat > now_ns {
            // If not, a token was taken from it in between, and is paid by the new one.
            let _ = self.tats[way].compare_exchange(tat, now_ns, SeqCst, SeqCst);
        }
        let other = (0..WAYS).find(|other| *other != way && self.tags[*other].load(SeqCst) == tag);
        let Some(other) = other else {
            return Some(way);
        };
        // If it fails, another has seen the same and done so.
        let _ = self.tags[way.max(other)].compare_exchange(tag, FREE, SeqCst, SeqCst);
        None
    }
}

/// Takes a token from a bucket.
pub(in crate::process::proxy) fn take(
    tat: &AtomicU64,
    limit: &Limit,
    now_ns: u64,
) -> Result<(), Exceeded> {
    // It always is.
    take_while(tat, limit, now_ns, || true).unwrap_or(Ok(()))
}

/// Takes a token from a bucket; `None` where it is another's.
fn take_while(
    tat: &AtomicU64,
    limit: &Limit,
    now_ns: u64,
    is_own: impl Fn() -> bool,
) -> Option<Result<(), Exceeded>> {
    let mut before = tat.load(SeqCst);
    loop {
        let next = match decide(before, now_ns, limit) {
            Verdict::Granted { tat } => tat,
            Verdict::Exceeded { retry_after_ns } => {
                return is_own().then_some(Err(Exceeded { retry_after_ns }));
            }
        };
        if !is_own() {
            return None;
        }
        match tat.compare_exchange_weak(before, next, SeqCst, SeqCst) {
            Ok(_) => return is_own().then_some(Ok(())),
            Err(now) => before = now,
        }
    }
}

const FREE: u64 = 0;
/// How often a client is looked for whose place others take while it is being counted; beyond that
/// it is not counted, and granted.
const TRIES_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::sync::atomic::Ordering::Relaxed;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::logic::balance::rate::Rate;
    use crate::process::proxy::memory::RATED_CLIENT_BYTES;

    const SECOND: u64 = 1_000_000_000;

    fn table(rate: &str, burst: u32, clients: u32) -> Clients {
        let rate = Rate::parse(rate).expect("it is a rate");
        Clients::new(Limit::new(rate, burst), clients)
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    /// Returns how many of `asked` are granted to a client at once.
    fn granted(table: &Clients, client: ClientHash, asked: u32, now_ns: u64) -> u32 {
        let taken = (0..asked).filter(|_| table.take(client, now_ns).is_ok());
        u32::try_from(taken.count()).expect("they are few")
    }

    #[test]
    fn each_client_has_its_bucket_and_gets_what_comes_back() {
        let table = table("10/s", 3, 64);
        let [one, other] = [1, 2].map(|number| table.of_address(address(number)));
        assert_eq!(granted(&table, one, 5, SECOND), 3);
        assert_eq!(granted(&table, other, 5, SECOND), 3);
        let retry_after_ns = SECOND / 10;
        assert_eq!(table.take(one, SECOND), Err(Exceeded { retry_after_ns }));
        assert_eq!(granted(&table, one, 5, SECOND + retry_after_ns), 1);
        assert_eq!(granted(&table, one, 5, 100 * SECOND), 3);
    }

    #[test]
    fn clients_are_who_they_are_and_cannot_be_another() {
        let table = table("10/s", 3, 64);
        let six = |text: &str| table.of_address(text.parse::<Ipv6Addr>().expect("one").into());
        assert_eq!(six("2001:db8::1"), six("2001:db8::2"), "one /64");
        assert_ne!(six("2001:db8::1"), six("2001:db8:0:1::1"));
        assert_eq!(six("::ffff:0.0.0.7"), table.of_address(address(7)));
        let field = |values: &[&[u8]]| table.of_field(values.iter().copied());
        assert_eq!(field(&[]), None);
        let all = [
            field(&[b""]),
            field(&[b"ab"]),
            field(&[b"a", b"b"]),
            field(&[b"b", b"a"]),
            field(&[&[0, 0, 0, 7]]),
            field(&[&[4, 0, 0, 0, 7]]),
            Some(table.of_address(address(7))),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        let elsewhere = super::tests::table("10/s", 3, 64);
        let own = elsewhere.of_address(address(7));
        assert_ne!(Some(own), all[6], "each table draws its key");
    }

    /// Everybody is in one set of eight.
    #[test]
    fn the_new_take_the_place_of_who_has_used_least() {
        let table = table("1/s", 5, 8);
        let clients: Vec<_> = (0..9)
            .map(|number| table.of_address(address(number)))
            .collect();
        let now = 100 * SECOND;
        for (number, client) in clients[..8].iter().enumerate() {
            // The fourth has used one, all others more.
            let asked = if number == 3 {
                1
            } else {
                2 + u32::try_from(number % 3).unwrap_or(0)
            };
            assert_eq!(granted(&table, *client, asked, now), asked);
        }
        assert_eq!(granted(&table, clients[8], 9, now), 5, "it is new");
        for (number, client) in clients[..8].iter().enumerate() {
            if number != 3 {
                let left = 5 - 2 - u32::try_from(number % 3).unwrap_or(0);
                assert_eq!(granted(&table, *client, 9, now), left, "{number}");
            }
        }
        assert_eq!(granted(&table, clients[3], 9, now), 5, "it was forgotten");
    }

    #[test]
    fn nothing_is_forgotten_where_a_bucket_is_full() {
        let table = table("1/s", 2, 8);
        let busy = table.of_address(address(0));
        for second in 100..300u64 {
            // One a second is what comes back.
            let taken = granted(&table, busy, 9, second * SECOND);
            assert_eq!(taken, if second == 100 { 2 } else { 1 }, "{second}");
            // Others come once, and are full again soon.
            for number in 0..3u32 {
                let number = 1000 * u32::try_from(second).unwrap_or(0) + number;
                let other = table.of_address(address(number));
                assert_eq!(granted(&table, other, 1, second * SECOND), 1);
            }
        }
    }

    #[test]
    fn clients_more_than_the_table_has_are_served_in_the_same_memory() {
        let table = table("1/h", 1, 4096);
        let made = |table: &Clients| {
            let blocks = table.blocks.iter().filter_map(OnceLock::get);
            blocks.map(|block| size_of_val(&**block)).sum::<usize>()
        };
        assert_eq!(made(&table), 0, "a table that is new costs nothing");
        for number in 0..100_000 {
            let client = table.of_address(address(number));
            assert_eq!(table.take(client, SECOND), Ok(()), "{number} is new");
        }
        assert_eq!(made(&table), 4096 * RATED_CLIENT_BYTES);
    }

    /// Workers that do nothing else come between any two steps of each other; each has a clock that
    /// is read before it asks, as in the proxy.
    #[test]
    fn threads_together_are_never_granted_more_than_one_would_be() {
        const CLIENTS: usize = 4;
        let (burst, rate) = (100, 100_000);
        let table = &table("100000/s", burst, 65_536);
        let clients: [_; CLIENTS] =
            array::from_fn(|number| table.of_address(address(u32::try_from(number).unwrap_or(0))));
        let counts: &[AtomicU64; CLIENTS] = &array::from_fn(|_| AtomicU64::new(0));
        let began_at = Instant::now();
        let elapsed_ns = || u64::try_from(began_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || {
                    let mut chance = fastrand::Rng::with_seed(seed);
                    for _ in 0..100_000 {
                        let number = chance.usize(..CLIENTS);
                        if table.take(clients[number], elapsed_ns()).is_ok() {
                            counts[number].fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        let elapsed_ns = elapsed_ns();
        let allowed = u64::from(burst) + elapsed_ns * rate / SECOND + 1;
        for count in counts {
            let count = count.load(Relaxed);
            assert!(count <= allowed, "{count} of {allowed}");
            assert!(count > u64::from(burst), "{count}: nobody starves");
        }
    }

    /// All in two sets, whose places change hands all the time: who asks once is granted, unless
    /// its thread is held up between taking a place and asking, while others pay there.
    #[test]
    fn places_that_threads_take_from_each_other_lose_no_client() {
        let table = &table("1/s", 4, 16);
        let denied = &AtomicU64::new(0);
        thread::scope(|scope| {
            for thread in 0..4u32 {
                scope.spawn(move || {
                    for number in 0..50_000 {
                        let client = table.of_address(address(thread << 24 | number));
                        if table.take(client, SECOND).is_err() {
                            denied.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        let denied = denied.load(Relaxed);
        assert!(denied < 200, "{denied} of 200,000 were denied");
        for set in (0..table.sets).map(|number| table.set(number)) {
            let tags = set.tags.iter().map(|tag| tag.load(SeqCst));
            let mut tags: Vec<_> = tags.filter(|tag| *tag != FREE).collect();
            let taken = tags.len();
            tags.sort_unstable();
            tags.dedup();
            assert_eq!(tags.len(), taken, "no client has two places");
        }
    }
}
