//! Stub: YAML as written.
