//! Stub: the tree to a `Config`, or all errors at once.
use std::fmt;

use super::Config;

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Checks the text of a configuration for `node` (used where the text has no `node` key); `path` is only printed.
pub fn parse(path: &str, _text: &str, _node: NodeName<'_>) -> Result<Config, ConfigErrors> {
    Err(ConfigErrors(vec![format!("{path}: stub")]))
}

/// Who this machine is, in the order of precedence: `Given` wins over the file, the file over `HostName`.
#[derive(Clone, Copy, Debug)]
pub enum NodeName<'a> {
    /// `--node lb1`.
    Given(&'a str),
    /// The host's name, used where the file has no `node`.
    HostName(&'a str),
}
