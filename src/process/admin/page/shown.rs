//! What the pieces of the page are made of.

use crate::ipc::control::Status;
use crate::process::admin::history::History;
use crate::process::admin::watched::Snapshot;

/// What the pieces are made of.
#[derive(Clone, Copy)]
pub(super) struct Shown<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) status: &'s Status,
    pub(super) history: &'s History,
}

/// A piece: its id, and the element that has it.
pub(super) type Piece = (String, String);
