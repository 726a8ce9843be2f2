//! Capabilities: a process keeps those of its row that it was started with, and no way to others.

use caps::{CapSet, Capability, CapsHashSet};

use super::error::ConfineError;

/// Gives up a capability that was only needed at the start; a capability that is not held is no
/// error.
///
/// # Errors
/// When the kernel refuses a set.
pub fn relinquish(capability: Capability) -> Result<(), ConfineError> {
    for (set, name) in [
        (CapSet::Effective, "effective"),
        (CapSet::Permitted, "permitted"),
        (CapSet::Inheritable, "inheritable"),
    ] {
        caps::drop(None, set, capability)
            .map_err(|source| ConfineError::Capabilities { set: name, source })?;
    }
    Ok(())
}

/// Takes all but `wanted` from what any later exec could give, where this process has the right to.
pub(super) fn bound(wanted: &[Capability]) -> Result<(), ConfineError> {
    let refused = |source| ConfineError::Capabilities {
        set: "bounding",
        source,
    };
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(refused)? {
        return Ok(());
    }
    for capability in caps::runtime::thread_all_supported() {
        if !wanted.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability).map_err(refused)?;
        }
    }
    Ok(())
}

/// Keeps of the capabilities of this thread those in `wanted` that it has.
pub(super) fn keep(wanted: &[Capability]) -> Result<(), ConfineError> {
    let refused = |set| move |source| ConfineError::Capabilities { set, source };
    let held = caps::read(None, CapSet::Permitted).map_err(refused("permitted"))?;
    let kept: CapsHashSet = wanted
        .iter()
        .copied()
        .filter(|c| held.contains(c))
        .collect();
    caps::clear(None, CapSet::Ambient).map_err(refused("ambient"))?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(refused("inheritable"))?;
    caps::set(None, CapSet::Effective, &kept).map_err(refused("effective"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(refused("permitted"))?;
    Ok(())
}

/// Returns whether this process holds a capability.
pub(super) fn holds(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}
