//! Interfaces of ours by name, in a set of an nftables table of our own: those that the rules
//! beside it are about. It refuses to know why.

use std::collections::BTreeSet;
use std::io;

use crate::process::vrrp::host::macvlan;
use crate::process::vrrp::host::monitor::View;
use crate::process::vrrp::host::nftables::{Change, Set, Table, Tables};

/// A table with its one set, as long as it lives.
#[derive(Debug)]
pub(super) struct LinkSet {
    tables: Tables,
    place: (u8, &'static str, &'static str),
    /// What is in the set.
    names: BTreeSet<String>,
}

impl LinkSet {
    /// Makes the table; its set is empty.
    ///
    /// # Errors
    /// When the kernel does not let us, or does not know nftables.
    pub(super) fn open(table: &'static Table, set: &'static Set) -> io::Result<Self> {
        let mut tables = Tables::open()?;
        tables.make(table)?;
        Ok(Self {
            tables,
            place: (table.family, table.name, set.name),
            names: BTreeSet::new(),
        })
    }

    /// Adds an interface, or takes it out; one that is so already costs nothing.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer; it is tried again when it is wanted again.
    pub(super) fn change(&mut self, change: Change, name: &str) -> io::Result<()> {
        let is_in = self.names.contains(name);
        match (change, is_in) {
            (Change::Add, true) | (Change::Remove, false) => return Ok(()),
            (Change::Add, false) | (Change::Remove, true) => {}
        }
        let mut key = name.as_bytes().to_vec();
        key.resize(NAME_LEN, 0);
        self.tables.change_keys(change, self.place, &[key])?;
        match change {
            Change::Add => drop(self.names.insert(name.to_owned())),
            Change::Remove => drop(self.names.remove(name)),
        }
        Ok(())
    }

    /// Takes the macvlans out that are deleted: others may have their names now.
    ///
    /// # Errors
    /// As `change`.
    pub(super) fn forget_gone(&mut self, view: &View) -> io::Result<()> {
        let is_there = |name: &str| {
            view.named(name)
                .is_some_and(|(_, link)| macvlan::is_ours(link))
        };
        let gone: Vec<String> = self
            .names
            .iter()
            .filter(|name| !is_there(name))
            .cloned()
            .collect();
        gone.iter()
            .try_for_each(|name| self.change(Change::Remove, name))
    }
}

/// Returns a set of names of interfaces, for a table.
pub(super) const fn names(name: &'static str) -> Set {
    Set {
        name,
        id: 1,
        key_type: 41,
        key_len: NAME_LEN as u32,
    }
}

/// IFNAMSIZ.
const NAME_LEN: usize = 16;
