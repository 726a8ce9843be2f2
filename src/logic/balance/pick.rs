//! Stub.

/// How the next backend is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two picked at random; the default.
    RandomOfTwo,
    /// In turn, by weight.
    RoundRobin,
}
