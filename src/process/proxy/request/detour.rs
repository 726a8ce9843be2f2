//! Where the answer to a request is, once a backend has said so.

use std::collections::VecDeque;

use crate::logic::http1::rewrite::elsewhere::Place;
use crate::process::proxy::transfer::exchange::Heed;

/// Places that may have it.
pub(super) struct Detour {
    /// The head of the request, as the backend was sent it.
    pub(super) head: Vec<u8>,
    /// Those that have not been asked.
    pub(super) places: VecDeque<Place>,
    /// Whether the one that is asked is a certain backend.
    pub(super) is_certain: bool,
}

impl Detour {
    /// Returns what keeps an answer from the client: while there is another place, only one that
    /// has it is good enough.
    pub(super) fn heed(&self) -> Heed {
        match self.places.is_empty() {
            true => Heed::Nothing,
            false => Heed::Status,
        }
    }
}
