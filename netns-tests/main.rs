//! Tests that need network namespaces: the daemon and its parts on hosts of a lab.
//!
//! Run as root, or inside a user namespace as `netns-tests/run` does. Each test builds a lab of its own.

mod lab;
