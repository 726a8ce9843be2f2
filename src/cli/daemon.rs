//! `evenkeel run`: the daemon in the foreground.

use std::path::PathBuf;

use super::outcome::{EXIT_DONE, refuse};
use crate::process::supervisor::{self, Options};
use crate::process::vrrp::host;

/// Runs the daemon until it is told to stop; returns the exit code.
pub(super) fn run(
    config: PathBuf,
    node: Option<String>,
    runtime_dir: PathBuf,
    cache_dir: Option<PathBuf>,
) -> i32 {
    match supervisor::run(&Options {
        config,
        node,
        runtime_dir,
        cache_dir: cache_dir.unwrap_or_else(default_cache_dir),
        remove_leftovers: host::remove_leftovers,
    }) {
        Ok(()) => EXIT_DONE,
        Err(error) => refuse(&error),
    }
}

/// Returns what systemd names where the unit has `CacheDirectory` (systemd.exec(5)), the first of
/// them.
fn default_cache_dir() -> PathBuf {
    let named = std::env::var_os("CACHE_DIRECTORY").unwrap_or_default();
    let named = std::env::split_paths(&named).next();
    let named = named.filter(|path| !path.as_os_str().is_empty());
    named.unwrap_or_else(|| DEFAULT_CACHE_DIR.into())
}

const DEFAULT_CACHE_DIR: &str = "/var/cache/evenkeel";
