//! The tree to a [`Config`], or all that is wrong with it at once.
//!
//! Every rule of the configuration is here or in the files of this folder: `routers`, `listeners`, `pools`, and
//! `values` for scalars. A rule complains about a path; `report` finds its line and prints it.

mod listeners;
mod pools;
mod report;
mod routers;
mod values;

pub use report::ConfigErrors;

use super::file;
use super::place::Part;
use super::reader::{Problems, Value};
use super::{Config, ProxyConfig};

/// Who this machine is, in the order of precedence: `Given` wins over the file, the file over `HostName`.
#[derive(Clone, Copy, Debug)]
pub enum NodeName<'a> {
    /// `--node lb1`.
    Given(&'a str),
    /// The host's name, used where the file has no `node`.
    HostName(&'a str),
}

/// Checks the text of a configuration for one node; `path` is only printed.
pub fn parse(path: &str, text: &str, node: NodeName<'_>) -> Result<Config, ConfigErrors> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(ConfigErrors::whole(
            path,
            "the file is larger than 1 MiB".into(),
        ));
    }
    let tree = file::read(text).map_err(|error| ConfigErrors::syntax(path, text, &error))?;
    let mut problems = Problems::default();
    let config = read(
        &Value {
            node: &tree,
            path: Vec::new(),
        },
        node,
        &mut problems,
    );
    match config {
        Some(config) if problems.0.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors::new(path, text, problems)),
    }
}

fn read(root: &Value<'_>, node: NodeName<'_>, problems: &mut Problems) -> Option<Config> {
    let mut map = root.map(problems)?;
    let node = read_node(map.get("node"), node, problems);
    let routers = map.get("virtual_routers");
    let listeners = map.get("listeners");
    let pools = map.get("pools");
    let proxy = map.get("proxy");
    if routers.is_none() && listeners.is_none() {
        let help = "see config/evenkeel.yaml for every key";
        problems.value(root, "virtual_routers or listeners is needed", Some(help));
    }
    map.finish(problems);
    let virtual_routers = routers.map_or_else(Vec::new, |v| routers::read(&v, &node, problems));
    let pools = pools.map_or_else(Vec::new, |v| pools::read(&v, problems));
    let scope = listeners::Scope {
        routers: &virtual_routers,
        pools: &pools,
    };
    let listeners = listeners.map_or_else(Vec::new, |v| listeners::read(&v, &scope, problems));
    let threads = proxy.and_then(|value| read_threads(&value, problems));
    Some(Config {
        node,
        virtual_routers,
        listeners,
        pools,
        proxy: ProxyConfig { threads },
    })
}

fn read_node(value: Option<Value<'_>>, node: NodeName<'_>, problems: &mut Problems) -> String {
    let written = value.and_then(|value| {
        let name = value.text(problems)?;
        values::name(&name, "node", &value, Part::Value, problems).then_some(name)
    });
    match (node, written) {
        (NodeName::Given(name), _) => name.to_owned(),
        (NodeName::HostName(_), Some(name)) => name,
        (NodeName::HostName(name), None) => name.to_owned(),
    }
}

fn read_threads(value: &Value<'_>, problems: &mut Problems) -> Option<u16> {
    let mut map = value.map(problems)?;
    let threads = map.get("threads");
    map.finish(problems);
    let threads = threads?.number(1, 128, "threads", problems)?;
    u16::try_from(threads).ok()
}

/// The largest configuration: every address, listener and backend of a large pair many times over.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;
