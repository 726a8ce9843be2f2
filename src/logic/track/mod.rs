//! Observations to the fitness of a virtual router.
