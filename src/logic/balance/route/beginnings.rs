//! Routes by how their paths begin, so that a request meets only those that may fit it.
//!
//! A path has a beginning at the end of each segment: `/a/b/c` has `/a`, `/a/b` and `/a/b/c`. A
//! route is filed under the longest of its own path, which every path that fits it begins with.

use super::conditions::PathPattern;

/// Routes by the beginning of their path; each list in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ByPath {
    /// Those that may be for any path.
    any: Vec<usize>,
    /// Hashes of beginnings, rising.
    hashes: Vec<u64>,
    /// Those of each beginning.
    lists: Vec<Vec<usize>>,
    /// Bytes of the longest beginning.
    len_max: usize,
}

impl ByPath {
    /// Adds a route behind all others.
    pub(super) fn push(&mut self, path: Option<&PathPattern>, route: usize) {
        let text = match path {
            Some(PathPattern::Exact(text) | PathPattern::Prefix(text)) => text,
            None => "",
        };
        let mut beginnings = Beginnings::of(text, usize::MAX);
        let Some((hash, len)) = beginnings.longest() else {
            self.any.push(route);
            return;
        };
        self.len_max = self.len_max.max(len);
        match self.hashes.binary_search(&hash) {
            Ok(at) => self.lists[at].push(route),
            Err(at) => {
                self.hashes.insert(at, hash);
                self.lists.insert(at, vec![route]);
            }
        }
    }

    /// Returns the bytes of a path that decide; 0 where none do.
    pub(super) const fn len_max(&self) -> usize {
        self.len_max
    }

    /// Adds the routes that may be for a path with these beginnings.
    pub(super) fn find<'t>(&'t self, beginnings: &Beginnings, found: &mut Candidates<'t>) {
        found.push(&self.any);
        if self.hashes.is_empty() {
            return;
        }
        for hash in beginnings.hashes() {
            if let Ok(at) = self.hashes.binary_search(hash) {
                found.push(&self.lists[at]);
            }
        }
    }
}

/// Hashes of the beginnings of a path, the shortest first.
pub(super) struct Beginnings {
    hashes: [u64; DEPTH_MAX],
    len: usize,
    /// Bytes of the longest.
    longest: usize,
}

impl Beginnings {
    /// Returns those of a path that are no longer than so many bytes; of a text without a slash at
    /// its begin none.
    pub(super) fn of(path: &str, len_max: usize) -> Self {
        let mut all = Self {
            hashes: [0; DEPTH_MAX],
            len: 0,
            longest: 0,
        };
        let mut hash = FNV_OFFSET;
        // What is one byte longer may yet end where the longest ends.
        for (at, byte) in path.bytes().enumerate().take(len_max.saturating_add(1)) {
            match (at, byte) {
                (0, b'/') => {}
                (0, _) => return all,
                (_, b'/') if !all.end(hash, at) => return all,
                (_, _) => {}
            }
            hash = fnv(hash, byte);
        }
        if path.len() <= len_max {
            all.end(hash, path.len());
        }
        all
    }

    /// A segment ends; returns whether another may begin. The slash at the end of a path ends none.
    fn end(&mut self, hash: u64, at: usize) -> bool {
        let is_full = self.len == DEPTH_MAX;
        if !is_full && at > self.longest + 1 {
            self.hashes[self.len] = hash;
            self.len += 1;
            self.longest = at;
        }
        !is_full
    }

    fn hashes(&self) -> &[u64] {
        &self.hashes[..self.len]
    }

    /// Returns the longest, and its bytes.
    fn longest(&mut self) -> Option<(u64, usize)> {
        let hash = self.hashes().last()?;
        Some((*hash, self.longest))
    }
}

/// Routes that may fit a request, in the order of the file.
#[derive(Default)]
pub(super) struct Candidates<'t> {
    lists: [&'t [usize]; LISTS_MAX],
    len: usize,
}

impl<'t> Candidates<'t> {
    fn push(&mut self, list: &'t [usize]) {
        if !list.is_empty() {
            self.lists[self.len] = list;
            self.len += 1;
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let lists = &mut self.lists[..self.len];
        let first = lists.iter_mut().filter(|list| !list.is_empty());
        let list = first.min_by_key(|list| list[0])?;
        let (route, rest) = list.split_first()?;
        *list = rest;
        Some(*route)
    }
}

/// One step of FNV-1a (64 bits). Who finds another text of the same hash has only made the search
/// longer.
pub(super) const fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(FNV_PRIME)
}

/// Where FNV-1a begins.
pub(super) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Beginnings of a path that are looked at; routes with a longer path are filed under the last.
const DEPTH_MAX: usize = 4;
/// Of the host's own routes and of the others: those of any path, and those of each beginning.
const LISTS_MAX: usize = 2 * (1 + DEPTH_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn beginnings(path: &str, len_max: usize) -> Vec<u64> {
        Beginnings::of(path, len_max).hashes().to_vec()
    }

    fn hashes(texts: &[&str]) -> Vec<u64> {
        let hash = |text: &&str| text.bytes().fold(FNV_OFFSET, fnv);
        texts.iter().map(hash).collect()
    }

    #[test]
    fn a_path_has_a_beginning_at_the_end_of_each_segment() {
        for (path, len_max, hoped) in [
            ("", 9, &[][..]),
            ("/", 9, &[]),
            ("*", 9, &[]),
            ("a/b", 9, &[]),
            ("/a", 9, &["/a"]),
            ("/a/", 9, &["/a"]),
            ("/a/bc", 9, &["/a", "/a/bc"]),
            ("/a/bc/", 9, &["/a", "/a/bc"]),
            ("/a/bc/d", 5, &["/a", "/a/bc"]),
            ("/a/bcd", 5, &["/a"]),
            ("/a/bc", 5, &["/a", "/a/bc"]),
            ("/a/bc", 4, &["/a"]),
            ("/a/b", 0, &[]),
            ("/a/b/c/d/e", 99, &["/a", "/a/b", "/a/b/c", "/a/b/c/d"]),
            ("/a/b/c/d/e/f", 99, &["/a", "/a/b", "/a/b/c", "/a/b/c/d"]),
        ] {
            assert_eq!(beginnings(path, len_max), hashes(hoped), "{path} {len_max}");
        }
    }

    #[test]
    fn a_request_meets_the_routes_of_its_beginnings_in_their_order() {
        let patterns = ["/a/b", "/", "/a", "/b", "/a/b/", "/a/b/c/d/e", "/a/b/c/d/f"];
        let mut routes = ByPath::default();
        for (index, text) in patterns.iter().enumerate() {
            routes.push(Some(&PathPattern::Prefix((*text).to_owned())), index);
        }
        routes.push(None, 7);
        let met = |path: &str| {
            let mut candidates = Candidates::default();
            let beginnings = Beginnings::of(path, routes.len_max());
            routes.find(&beginnings, &mut candidates);
            candidates.collect::<Vec<_>>()
        };
        assert_eq!(met("/"), [1, 7]);
        assert_eq!(met("/c/a/b"), [1, 7]);
        assert_eq!(met("/ab"), [1, 7]);
        assert_eq!(met("/a"), [1, 2, 7]);
        assert_eq!(met("/a/b"), [0, 1, 2, 4, 7]);
        assert_eq!(met("/a/b/c/d/g/h/i/j"), [0, 1, 2, 4, 5, 6, 7]);
    }
}
