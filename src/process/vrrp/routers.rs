//! Which virtual router is meant, on both threads, and what each has of it.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Which virtual router: an identity that is given once and never again, whatever becomes of its
/// name, its place in the configuration or its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouterId(u32);

/// Something of each virtual router, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Routers<T> {
    all: Vec<T>,
    /// In the same order.
    ids: Arc<[RouterId]>,
    /// Where each is, by rising identity.
    places: Arc<[(RouterId, usize)]>,
    /// The next that is given.
    next: u32,
}

impl<T> Default for Routers<T> {
    fn default() -> Self {
        Self::first(Vec::new())
    }
}

impl<T> Routers<T> {
    /// Gives each of the first virtual routers its identity.
    pub fn first(all: Vec<T>) -> Self {
        let ids: Vec<RouterId> = (0..).map(RouterId).take(all.len()).collect();
        let mut routers = Self {
            next: ids.len() as u32,
            all,
            ids: Arc::new([]),
            places: Arc::new([]),
        };
        routers.number(ids);
        routers
    }

    /// Makes something else of each.
    pub fn map<U>(&self, make: impl FnMut((RouterId, &T)) -> U) -> Routers<U> {
        Routers {
            all: self.iter().map(make).collect(),
            ids: Arc::clone(&self.ids),
            places: Arc::clone(&self.places),
            next: self.next,
        }
    }

    /// Gives an identity that none of these has or ever had.
    pub const fn new_id(&mut self) -> RouterId {
        let id = RouterId(self.next);
        self.next += 1;
        id
    }

    /// Takes in virtual routers of new identities, behind the others.
    pub fn extend(&mut self, new: impl IntoIterator<Item = (RouterId, T)>) {
        let mut ids = self.ids.to_vec();
        for (id, one) in new {
            self.next = self.next.max(id.0 + 1);
            ids.push(id);
            self.all.push(one);
        }
        self.number(ids);
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, id: RouterId) -> Option<T> {
        let place = self.place(id)?;
        let mut ids = self.ids.to_vec();
        ids.remove(place);
        let removed = self.all.remove(place);
        self.number(ids);
        Some(removed)
    }

    /// Puts these first, in this order; the others stay behind them as they were.
    pub fn arrange(&mut self, order: &[RouterId]) {
        let first: Vec<Option<usize>> = {
            let mut ranks = vec![None; self.all.len()];
            for (rank, id) in order.iter().enumerate() {
                if let Some(place) = self.place(*id) {
                    ranks[place] = Some(rank);
                }
            }
            ranks
        };
        let ids = self.ids.to_vec();
        let all = std::mem::take(&mut self.all);
        let mut together: Vec<_> = first.into_iter().zip(ids.into_iter().zip(all)).collect();
        together.sort_by_key(|(rank, _)| rank.unwrap_or(usize::MAX));
        let (ids, all) = together.into_iter().map(|(_, both)| both).unzip();
        self.all = all;
        self.number(ids);
    }

    /// Returns all identities: a copy costs a count, and lets go of the rest.
    pub fn ids(&self) -> Arc<[RouterId]> {
        Arc::clone(&self.ids)
    }

    /// Returns that of a virtual router, if it is there still.
    pub fn get(&self, id: RouterId) -> Option<&T> {
        self.all.get(self.place(id)?)
    }

    /// Returns that of a virtual router, if it is there still.
    pub fn get_mut(&mut self, id: RouterId) -> Option<&mut T> {
        let place = self.place(id)?;
        self.all.get_mut(place)
    }

    /// Returns all, each with its identity.
    pub fn iter(&self) -> impl Iterator<Item = (RouterId, &T)> {
        self.ids.iter().copied().zip(&self.all)
    }

    /// Returns all, each with its identity.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (RouterId, &mut T)> {
        self.ids.iter().copied().zip(&mut self.all)
    }

    /// Returns all.
    pub fn values(&self) -> std::slice::Iter<'_, T> {
        self.all.iter()
    }

    /// Returns all.
    pub fn values_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.all.iter_mut()
    }

    fn place(&self, id: RouterId) -> Option<usize> {
        let at = self.places.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.places[at].1)
    }

    fn number(&mut self, ids: Vec<RouterId>) {
        let mut places: Vec<_> = ids.iter().copied().zip(0..).collect();
        places.sort_unstable();
        self.places = places.into();
        self.ids = ids.into();
    }
}

impl<T> Index<RouterId> for Routers<T> {
    type Output = T;

    /// Returns that of a virtual router that is there.
    fn index(&self, id: RouterId) -> &T {
        &self.all[self.place(id).unwrap_or(usize::MAX)]
    }
}

impl<T> IndexMut<RouterId> for Routers<T> {
    fn index_mut(&mut self, id: RouterId) -> &mut T {
        let place = self.place(id).unwrap_or(usize::MAX);
        &mut self.all[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_identity() {
        let mut names = Routers::first(vec!["a", "b", "c"]);
        let ids = names.ids();
        for (id, name) in ids.iter().zip(["a", "b", "c"]) {
            assert_eq!(names[*id], name);
        }
        names[ids[1]] = "B";
        assert_eq!(names.get_mut(ids[1]), Some(&mut "B"));
        let lengths = names.map(|(id, name)| (id, name.len()));
        assert!(
            lengths
                .iter()
                .all(|(id, (own, len))| id == *own && *len == 1)
        );
    }

    #[test]
    fn who_is_not_there_is_not_found() {
        let two = Routers::first(vec![1, 2]).ids();
        let mut one = Routers::first(vec![1]);
        assert_eq!(one.get_mut(two[1]), None);
        assert_eq!(one.get(two[1]), None);
        assert_eq!(one.remove(two[1]), None);
    }

    #[test]
    fn who_comes_later_has_an_identity_that_was_never_given() {
        let mut names = Routers::first(vec!["a", "b"]);
        let [a, b] = [names.ids()[0], names.ids()[1]];
        let c = names.new_id();
        names.extend([(c, "c")]);
        assert_eq!(names.remove(c), Some("c"));
        assert_eq!(names.remove(a), Some("a"));
        let d = names.new_id();
        assert!(![a, b, c].contains(&d));
        names.extend([(d, "d")]);
        assert!(names.iter().eq([(b, &"b"), (d, &"d")]));
        assert_eq!((names[d], names.get(c)), ("d", None));
    }

    #[test]
    fn order_is_that_of_the_configuration_and_the_others_stay_behind() {
        let mut names = Routers::first(vec!["a", "b", "c", "d"]);
        let ids = names.ids();
        names.arrange(&[ids[3], ids[1]]);
        assert!(names.values().eq(&["d", "b", "a", "c"]));
        assert_eq!(names.ids()[..2], [ids[3], ids[1]]);
        for (id, name) in ids.iter().zip(["a", "b", "c", "d"]) {
            assert_eq!(names[*id], name, "each is found as before");
        }
    }
}
