//! Programs of Debian's packages, with nothing of this machine's settings.

use std::path::Path;
use std::process::Command;

/// Fails with the package when a program is missing.
pub(super) fn require(path: &str, package: &str) {
    assert!(
        Path::new(path).exists(),
        "`{path}` is needed: install Debian's package {package}"
    );
}

/// Returns how to start one, without the environment.
pub(super) fn command(path: &str, package: &str) -> Command {
    require(path, package);
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8");
    command
}
