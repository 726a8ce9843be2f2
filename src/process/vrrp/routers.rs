//! Which virtual router is meant, on both threads, and what each has of it.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Which virtual router: an identity that is given once and never again, whatever becomes of its
/// name, its place in the configuration or its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouterId(u32);

/// Something of each virtual router, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Routers<T> {
    /// By rising identity.
    all: Vec<T>,
    ids: Arc<[RouterId]>,
}

impl<T> Default for Routers<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            ids: Arc::new([]),
        }
    }
}

impl<T> Routers<T> {
    /// Gives each of the first virtual routers its identity.
    pub fn first(all: Vec<T>) -> Self {
        Self {
            ids: (0..).map(RouterId).take(all.len()).collect(),
            all,
        }
    }

    /// Makes something else of each.
    pub fn map<U>(&self, make: impl FnMut((RouterId, &T)) -> U) -> Routers<U> {
        Routers {
            all: self.iter().map(make).collect(),
            ids: Arc::clone(&self.ids),
        }
    }

    /// Returns all identities: a copy costs a count, and lets go of the rest.
    pub fn ids(&self) -> Arc<[RouterId]> {
        Arc::clone(&self.ids)
    }

    /// Returns that of a virtual router, if it is there still.
    pub fn get_mut(&mut self, id: RouterId) -> Option<&mut T> {
        let at = self.ids.binary_search(&id).ok()?;
        self.all.get_mut(at)
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
}

impl<T> Index<RouterId> for Routers<T> {
    type Output = T;

    /// Returns that of a virtual router that is there.
    fn index(&self, id: RouterId) -> &T {
        &self.all[self.ids.binary_search(&id).unwrap_or(usize::MAX)]
    }
}

impl<T> IndexMut<RouterId> for Routers<T> {
    fn index_mut(&mut self, id: RouterId) -> &mut T {
        &mut self.all[self.ids.binary_search(&id).unwrap_or(usize::MAX)]
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
    }
}
