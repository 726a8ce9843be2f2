//! Interfaces of ours by name, in a set of an nftables table of our own: what the rules beside it
//! let pass. It refuses to know why.

use std::collections::BTreeSet;
use std::io;

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
    /// When the kernel refuses, or does not answer.
    pub(super) fn change(&mut self, change: Change, name: &str) -> io::Result<()> {
        let is_new = match change {
            Change::Add => self.names.insert(name.to_owned()),
            Change::Remove => self.names.remove(name),
        };
        if !is_new {
            return Ok(());
        }
        let mut key = name.as_bytes().to_vec();
        key.resize(NAME_LEN, 0);
        self.tables.change_keys(change, self.place, &[key])
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
