//! The key `track` of a virtual router: what it follows, and what that does to its priority.

use std::net::IpAddr;
use std::time::Duration;

use super::scripts::Scripts;
use crate::config::check::pools::Pools;
use crate::config::check::values::{PATH_HELP, duration_or, interface_name, number_or, path};
use crate::config::file::Kind;
use crate::config::reader::{Fields, Value, nearest};
use crate::config::report::{Problems, shown};
use crate::config::track::{
    Condition, Effect, GatewayConfig, ProcessConfig, ProcessSelector, Source, TrackConfig,
};

/// What an entry may follow that stands elsewhere in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) scripts: &'a Scripts,
    /// `None` where the section is no map of pools.
    pub(crate) pools: Option<&'a Pools>,
}

/// What an item of `track` names.
enum Named {
    Source(Source),
    Process(ProcessConfig),
    Gateway(GatewayConfig),
}

/// Reads the key of one entry on this interface.
pub(super) fn check(
    fields: &Fields<'_>,
    interface: Option<&str>,
    known: Known<'_>,
    problems: &mut Problems,
) -> Option<TrackConfig> {
    let Some(value) = fields.get("track") else {
        return Some(TrackConfig::default());
    };
    let mut track = Some(TrackConfig::default());
    for item in value.items("what is followed", problems)? {
        let added = check_item(item, interface, known, problems);
        track = track.zip(added).map(|(mut track, (named, effects))| {
            let source = match named {
                Named::Source(source) => source,
                Named::Process(process) => {
                    let source = Source::Process(process.label.clone());
                    track.processes.push(process);
                    source
                }
                Named::Gateway(gateway) => {
                    let source = Source::Gateway(gateway.label.clone());
                    track.gateways.push(gateway);
                    source
                }
            };
            let condition = |effect| Condition {
                source: source.clone(),
                effect,
            };
            track.conditions.extend(effects.into_iter().map(condition));
            track
        });
    }
    track
}

fn check_item(
    item: Value<'_>,
    interface: Option<&str>,
    known: Known<'_>,
    problems: &mut Problems,
) -> Option<(Named, Vec<Effect>)> {
    let fields = item.fields(ITEM_KEYS, problems)?;
    let kinds: Vec<&str> = KINDS
        .iter()
        .copied()
        .filter(|kind| fields.get(kind).is_some())
        .collect();
    let [kind] = kinds.as_slice() else {
        let message = match kinds.as_slice() {
            [] => "this follows nothing".to_owned(),
            several => format!("this follows {} at once", several.join(" and ")),
        };
        let help = format!("name one of {}", KINDS.join(", "));
        item.wrong_with_help(message, help, problems);
        return None;
    };
    let value = fields.get(kind)?;
    let of_gateway = |key: &&&str| *kind != "gateway" && fields.get(key).is_some();
    if let Some(key) = GATEWAY_KEYS.iter().find(of_gateway) {
        let message = format!("`{key}` belongs to a gateway");
        fields.get(key)?.wrong(message, problems);
        return None;
    }
    let named = match *kind {
        "script" => named_script(value, known, problems),
        "pool" => named_pool(value, known, problems),
        "interface" => interface_name(value, problems)
            .map(|name| Named::Source(Source::Interface(name.to_owned()))),
        "file" => path(value, "the path of a file", PATH_HELP, problems)
            .map(|path| Named::Source(Source::File(path))),
        "process" => named_process(value, problems),
        "gateway" => named_gateway(value, &fields, interface, problems),
        _ => match &value.node.kind {
            Kind::Bool(true) => Some(Named::Source(Source::Proxy)),
            Kind::Null
            | Kind::Bool(false)
            | Kind::Int(_)
            | Kind::Float(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Map(_) => {
                value.wrong_with_help("proxy can only be `true`", PROXY_HELP, problems);
                None
            }
        },
    };
    let effects = match *kind {
        "file" => content_effect(item, &fields, problems),
        _ => effects(&fields, problems),
    }?;
    Some((named?, effects))
}

fn named_script(value: Value<'_>, known: Known<'_>, problems: &mut Problems) -> Option<Named> {
    let name = value.text("the name of a script", problems)?;
    let names: Vec<&str> = known.scripts.names.iter().map(String::as_str).collect();
    known_name(value, name, &names, "track_scripts", problems)?;
    Some(Named::Source(Source::Script(name.to_owned())))
}

fn named_pool(value: Value<'_>, known: Known<'_>, problems: &mut Problems) -> Option<Named> {
    let name = value.text("the name of a pool", problems)?;
    let names: Vec<&str> = known.pools?.names.iter().map(String::as_str).collect();
    known_name(value, name, &names, "pools", problems)?;
    Some(Named::Source(Source::Pool(name.to_owned())))
}

fn known_name(
    value: Value<'_>,
    name: &str,
    names: &[&str],
    section: &str,
    problems: &mut Problems,
) -> Option<()> {
    if names.contains(&name) {
        return Some(());
    }
    let message = format!("`{}` is not in `{section}`", shown(name));
    let help = nearest(name, names).map_or_else(
        || format!("give it an entry in `{section}`"),
        |near| format!("did you mean `{near}`?"),
    );
    value.wrong_with_help(message, help, problems);
    None
}

/// A name of a program, or the path of a file with a number.
fn named_process(value: Value<'_>, problems: &mut Problems) -> Option<Named> {
    let fields = value.fields(&["name", "pidfile"], problems)?;
    let (label, selector) = match (fields.get("name"), fields.get("pidfile")) {
        (Some(name), None) => {
            let text = name.text("the name of a program", problems)?;
            if text.is_empty() || text.contains('/') {
                let message = format!("name cannot be `{}`", shown(text));
                let help = "a program's name has no path: postgres";
                name.wrong_with_help(message, help, problems);
                return None;
            }
            (text.to_owned(), ProcessSelector::Name(text.to_owned()))
        }
        (None, Some(pidfile)) => {
            let path = path(pidfile, "the path of a file", PATH_HELP, problems)?;
            let label = path.display().to_string();
            (label, ProcessSelector::Pidfile(path))
        }
        (Some(_), Some(_)) | (None, None) => {
            let help = "write {name: postgres} or {pidfile: /run/postgres.pid}";
            value.wrong_with_help("a process is named in one way", help, problems);
            return None;
        }
    };
    Some(Named::Process(ProcessConfig { label, selector }))
}

fn named_gateway(
    value: Value<'_>,
    fields: &Fields<'_>,
    interface: Option<&str>,
    problems: &mut Problems,
) -> Option<Named> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for item in value.items("addresses", problems)? {
        let text = item.text("an address", problems)?;
        let Ok(address) = text.parse() else {
            let message = format!("`{}` is not an address", shown(text));
            item.wrong_with_help(message, "a gateway is asked by its address", problems);
            return None;
        };
        if cannot_answer(address) {
            item.wrong(format!("{address} is no address of a gateway"), problems);
            return None;
        }
        if addresses.contains(&address) {
            item.wrong(format!("{address} is here twice"), problems);
            return None;
        }
        addresses.push(address);
    }
    let count = u32::try_from(addresses.len()).ok()?;
    if count == 0 {
        value.wrong("gateway names no address", problems);
        return None;
    }
    let at_least = number_or(fields, "at_least", 1, 1..=count, problems)?;
    let interval = duration_or(fields, "interval", INTERVAL, INTERVALS, problems)?;
    let fall = number_or(fields, "fall", FALL, 1..=COUNT_MAX, problems)?;
    let interface = interface?.to_owned();
    let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut label = match at_least {
        1 => listed.join(" or "),
        _ => format!("{at_least} of {}", listed.join(", ")),
    };
    label.push_str(&format!(" on {interface}"));
    // The same gateways may be followed in two ways.
    if (interval, fall) != (INTERVAL, FALL) {
        label.push_str(&format!(" ({fall} questions every {interval:?})"));
    }
    Some(Named::Gateway(GatewayConfig {
        label,
        interface,
        addresses,
        at_least: usize::try_from(at_least).ok()?,
        interval,
        fall,
    }))
}

/// Returns whether no machine, or only this one, answers for an address.
fn cannot_answer(address: IpAddr) -> bool {
    let of_nobody = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    of_nobody
        || match address {
            IpAddr::V4(address) => address.is_broadcast(),
            IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
        }
}

/// What follows where anything but a file fails, or is well.
fn effects(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<Effect>> {
    if let Some(value) = fields.get("lower_by") {
        let help = "write `on_failure: {lower_by: 50}`";
        value.wrong_with_help("`lower_by` alone belongs to a file", help, problems);
        return None;
    }
    let mut effects = Vec::new();
    if let Some(value) = fields.get("on_failure") {
        effects.push(on_failure(value, problems)?);
    }
    if let Some(value) = fields.get("raise_by") {
        effects.push(Effect::RaiseBy(amount(value, problems)?));
    }
    if effects.is_empty() {
        effects.push(Effect::Ill);
    }
    Some(effects)
}

fn on_failure(value: Value<'_>, problems: &mut Problems) -> Option<Effect> {
    match &value.node.kind {
        Kind::Text(text) if text == "fault" => Some(Effect::Fault),
        Kind::Text(text) if text == "ill" => Some(Effect::Ill),
        Kind::Map(_) => {
            let fields = value.fields(&["lower_by"], problems)?;
            let by = fields.need("lower_by", "50", problems)?;
            Some(Effect::LowerBy(amount(by, problems)?))
        }
        Kind::Null
        | Kind::Bool(_)
        | Kind::Int(_)
        | Kind::Float(_)
        | Kind::Text(_)
        | Kind::List(_) => {
            let message = if let Kind::Text(text) = &value.node.kind {
                format!("on_failure cannot be `{}`", shown(text))
            } else {
                "on_failure must be a word or {lower_by: ...}".to_owned()
            };
            value.wrong_with_help(message, ON_FAILURE_HELP, problems);
            None
        }
    }
}

/// The number in a file is added or taken away.
fn content_effect(
    item: Value<'_>,
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Vec<Effect>> {
    let (value, effect) = match (fields.get("raise_by"), fields.get("lower_by")) {
        (Some(value), None) => (value, Effect::RaiseByContent),
        (None, Some(value)) => (value, Effect::LowerByContent),
        (Some(_), Some(_)) | (None, None) => {
            item.wrong_with_help("what does the number in the file do?", FILE_HELP, problems);
            return None;
        }
    };
    if value.node.kind != Kind::Text("content".into()) {
        let message = format!("{} of a file can only be `content`", value.name);
        value.wrong_with_help(message, "its number is what counts", problems);
        return None;
    }
    if let Some(on_failure) = fields.get("on_failure") {
        on_failure.wrong_with_help("a file does not fail", FILE_HELP, problems);
        return None;
    }
    Some(vec![effect])
}

fn amount(value: Value<'_>, problems: &mut Problems) -> Option<u8> {
    u8::try_from(value.number(1, 253, problems)?).ok()
}

const KINDS: &[&str] = &[
    "script",
    "interface",
    "gateway",
    "process",
    "file",
    "pool",
    "proxy",
];
const GATEWAY_KEYS: &[&str] = &["at_least", "interval", "fall"];
const ITEM_KEYS: &[&str] = &[
    "script",
    "interface",
    "gateway",
    "process",
    "file",
    "pool",
    "proxy",
    "on_failure",
    "raise_by",
    "lower_by",
    "at_least",
    "interval",
    "fall",
];
const ON_FAILURE_HELP: &str =
    "write `ill` (the default), `fault`, or {lower_by: 50}; evenkeel.yaml(5) says what each does";
const PROXY_HELP: &str = "it is followed by itself; an item is only needed for another effect";
const FILE_HELP: &str = "write `raise_by: content` or `lower_by: content`";
/// How often gateways are asked.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(20)..=Duration::from_secs(60);
/// After how many questions without an answer a gateway is gone.
const FALL: u32 = 3;
const COUNT_MAX: u32 = 100;
