//! The commands, one file each.

/// What `evenkeel --help` prints; every flag in it stands in evenkeel(8).
pub const USAGE: &str = "\
Evenkeel: virtual addresses that follow the node that can serve, and the HTTP proxy behind them

usage:
  evenkeel run [--config FILE] [--node NAME] [--runtime-dir DIR]
  evenkeel check [--config FILE] [--node NAME]
  evenkeel status [--json] [--runtime-dir DIR]
  evenkeel demo [--json]
  evenkeel --version
  evenkeel --help

commands:
  run      serve in the foreground until SIGTERM
  check    say whether the configuration is good, and what it means
  status   ask the running daemon
  demo     build a pair on this machine, break it in every way, measure

options:
  --config FILE      the configuration; default /etc/evenkeel/evenkeel.yaml
  --node NAME        who this machine is; default: the file's `node`, then the host name
  --runtime-dir DIR  where the control socket lies; default /run/evenkeel
  --json             for programs

exit status: 0 done, 1 failed, 2 usage, 78 bad configuration
manual: evenkeel(8), evenkeel.yaml(5)
";
