//! What a message says.

/// What a message says, whoever has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// The method, or the status.
    pub what: String,
    /// The path and query; empty for a response.
    pub path: String,
    /// Names in lower case, ordered by name; values in their order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Without framing.
    pub body: Vec<u8>,
}

impl Meaning {
    /// Returns the values of a field.
    pub(crate) fn field(&self, name: &str) -> Vec<&[u8]> {
        let of_name = self.fields.iter().filter(|(known, _)| known == name);
        of_name.map(|(_, value)| value.as_slice()).collect()
    }

    /// Returns whether all else is the same.
    pub(crate) fn same_but_for_fields(&self, other: &Self) -> bool {
        (&self.what, &self.path, &self.body) == (&other.what, &other.path, &other.body)
    }
}
