//! Holds the tree to the house: which way imports point, what `logic` may not touch, where `unsafe`
//! may stand, how long a file may be, what may lie at the top level.
//!
//! It reads source text, not types: a small lexer drops comments and strings, a small reader
//! expands `use` trees and inline paths. So it can be fooled on purpose (a macro that pastes
//! identifiers), but not by accident. Every finding is printed as `file:line: what`, all at once.
//! The checks are functions over strings; `planted` gives them violations and requires that they
//! are found.

#![expect(
    clippy::unwrap_used,
    reason = "a check that cannot read the tree should say so at once"
)]

mod circles;
mod messages;
mod planted;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use evenkeel::ipc::log_line::LogField;
use source::{Token, dependencies, paths, root, sources, test_files, token_lines, tokens};
use source::{begins_with, module_of, resolve};

/// The modules of the crate in the order in which they may use each other: each what stands before
/// it.
const ORDER: [&str; 7] = ["model", "logic", "config", "ipc", "process", "lab", "cli"];

/// Modules whose children do not import each other.
const APART: [&str; 2] = ["logic", "process"];

/// Children of the modules above that their siblings may use: the table of processes.
const SHARED: [&str; 1] = ["process/role"];

/// Where system calls are made, so where `unsafe` may stand; a name that ends in `/` is a folder.
const SYSTEM_CALL_FILES: [&str; 13] = [
    "src/ipc/channel.rs",
    "src/process/names/lookup.rs",
    "src/process/proxy/allocator.rs",
    "src/process/proxy/io/listening.rs",
    "src/process/proxy/io/socket/queue.rs",
    "src/process/role/",
    "src/process/supervisor/scripts/keeper.rs",
    "src/process/supervisor/watch.rs",
    "src/process/vrrp/link/socket.rs",
    "src/process/vrrp/gateways.rs",
    "src/process/vrrp/host/",
    "src/process/vrrp/realtime.rs",
    "src/lab/",
];

/// Crates with few homes. The host's network is changed in `process/vrrp` (and in the lab's
/// namespaces) alone; the vrrp process has no runtime; HTTP stays with the proxy.
const CRATE_HOMES: [(&str, &[&str]); 16] = [
    ("rustix", &["src/cli/"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/"]),
    (
        "netlink_packet_core",
        &["src/process/vrrp/host/", "src/lab/"],
    ),
    (
        "netlink_packet_route",
        &["src/process/vrrp/host/", "src/lab/"],
    ),
    ("netlink_sys", &["src/process/vrrp/host/", "src/lab/"]),
    ("pnet", &["src/process/vrrp/"]),
    ("pnet_packet", &["src/logic/vrrp/", "src/process/vrrp/"]),
    (
        "etherparse",
        &["src/logic/vrrp/", "src/process/vrrp/", "src/lab/"],
    ),
    ("httparse", &["src/logic/http1/"]),
    ("hyper", &["src/lab/", "src/process/admin/"]),
    (
        "h2",
        &[
            "src/process/proxy/io/frames",
            "src/process/proxy/downstream/connection/http2.rs",
            "src/process/proxy/upstream/connect/http2.rs",
            "src/process/proxy/upstream/connections/multiplexed.rs",
            "src/process/proxy/upstream/probe/",
        ],
    ),
    ("hyper_util", &["src/lab/", "src/process/admin/"]),
    ("prometheus_client", &["src/process/admin/metrics/"]),
    ("form_urlencoded", &["src/process/admin/"]),
    (
        "tokio",
        &[
            "src/ipc/",
            "src/process/supervisor/",
            "src/process/proxy/",
            "src/process/admin/",
            "src/lab/",
            "src/cli/",
        ],
    ),
];

/// Modules that read no clock, file, socket or chance and hold no task and no lock.
const PURE: [&str; 3] = ["src/model/", "src/logic/", "src/config/"];

/// What pure modules may not name, by the beginning of the path.
const IMPURE_PATHS: [&str; 21] = [
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync",
    "std::thread",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "caps",
    "fastrand",
    "libc",
    "nix",
    "pnet",
    "rand",
    "socket2",
    "tokio",
    "tracing",
];

/// The one exception to the list above: shared ownership of what does not change.
const PURE_ANYWAY: [&str; 1] = ["std::sync::Arc"];

/// What pure modules may not name, wherever it stands in a path.
const IMPURE_NAMES: [&str; 14] = [
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "Mutex",
    "RwLock",
    "Condvar",
    "RandomState",
    "async",
    "await",
    "thread_local",
];

/// What `logic` may not name besides: their order is chance.
const UNORDERED_NAMES: [&str; 2] = ["HashMap", "HashSet"];

/// Functions that make checked types from raw numbers, and who may call them (`model` itself
/// aside).
const MAKERS: [(&str, &str); 5] = [
    ("Vrid", "new"),
    ("Priority", "new"),
    ("Priority", "from_wire"),
    ("AdverInterval", "from_centiseconds"),
    ("AdverInterval", "from_seconds"),
];
const MAKER_HOMES: [&str; 3] = ["src/model/", "src/config/check", "src/logic/vrrp/packet"];

/// The longest a file may be.
const FILE_LINES_MAX: usize = 800;

/// The most source files of a folder.
const FOLDER_FILES_MAX: usize = 12;

/// The longest line of a comment, but for drawings and tables.
const COMMENT_COLUMNS_MAX: usize = 100;

/// What may lie at the top level.
const TOP_LEVEL: [&str; 22] = [
    ".cargo",
    ".ci",
    ".git",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "config",
    "deny.toml",
    "fuzz",
    "man",
    "netns-tests",
    "rustfmt.toml",
    "src",
    "target",
    "tests",
];

#[test]
fn imports_point_one_way() {
    report(
        sources(&["src"])
            .iter()
            .flat_map(|file| check_imports(&file.path, &file.text)),
    );
}

#[test]
fn the_map_lists_the_modules_in_the_order_of_the_imports() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(
        listed, ORDER,
        "src/lib.rs is the map: its modules stand in reading order"
    );
}

#[test]
fn pure_modules_touch_no_clock_file_socket_task_lock_or_chance() {
    let files = sources(&PURE.map(|folder| folder.trim_end_matches('/')));
    let tests = test_files(&files);
    report(
        files
            .iter()
            .filter(|file| !tests.contains(&file.path))
            .flat_map(|file| check_purity(&file.path, &file.text)),
    );
}

#[test]
fn crates_stay_where_they_belong() {
    let files = sources(&["src"]);
    let tests = test_files(&files);
    let crates = dependencies();
    report(
        files
            .iter()
            .filter(|file| !tests.contains(&file.path))
            .flat_map(|file| check_crates(&file.path, &file.text, &crates)),
    );
}

#[test]
fn checked_types_are_made_by_the_checkers_alone() {
    let files = sources(&["src"]);
    let tests = test_files(&files);
    report(
        files
            .iter()
            .filter(|file| !tests.contains(&file.path))
            .flat_map(|file| check_makers(&file.path, &file.text)),
    );
}

#[test]
fn unsafe_stands_in_system_call_files_only() {
    report(
        sources(&["src"])
            .iter()
            .flat_map(|file| check_unsafe(&file.path, &file.text)),
    );
}

#[test]
fn every_field_of_the_log_has_a_name_of_the_list() {
    report(
        sources(&["src"])
            .iter()
            .flat_map(|file| check_log_fields(&file.path, &file.text)),
    );
}

#[test]
fn every_file_is_short_documented_and_finished() {
    report(
        sources(&["src", "tests", "netns-tests", "benches", "fuzz"])
            .iter()
            .flat_map(|file| check_manners(&file.path, &file.text)),
    );
}

#[test]
fn every_folder_is_small() {
    let files = sources(&["src", "tests", "netns-tests", "benches"]);
    report(check_folders(files.iter().map(|file| file.path.as_str())).into_iter());
}

/// `cargo deny` is no package of Debian's: its list of bans is held here too.
#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let banned = banned_crates(&read("deny.toml"));
    assert!(banned.len() >= 2, "the list is read: {banned:?}");
    let lock = read("Cargo.lock");
    let locked: BTreeSet<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .collect();
    assert!(locked.contains("tokio"), "the lock file is read");
    let found: Vec<&String> = banned
        .iter()
        .filter(|name| locked.contains(name.as_str()))
        .collect();
    assert!(found.is_empty(), "deny.toml bans {found:?}");
}

/// Returns the names that `[bans]` denies.
fn banned_crates(deny: &str) -> BTreeSet<String> {
    let names = deny.split("{ crate = \"").skip(1);
    names
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn the_top_level_has_only_the_permitted_names() {
    let strangers: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(
        strangers.is_empty(),
        "not permitted at the top level: {strangers:?}"
    );
}

// -------------------------------------------------------------------------------------------------
// The checks: a path relative to the package and a text in, findings out.

/// Holds [`ORDER`] and [`APART`], for `crate::`, `self::` and `super::` paths in `use` items and
/// inline.
fn check_imports(path: &str, text: &str) -> Vec<String> {
    let file_module = module_of(path);
    if file_module.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for used in paths(text) {
        let found = |what: &str| format!("{path}:{}: `{}` {what}", used.line, used.shown());
        if used.next == "as" && used.segments.len() == 1 && used.starts_with("crate") {
            findings.push(found("gives the crate another name"));
            continue;
        }
        let mut here = file_module.clone();
        here.extend(used.inline_modules.iter().cloned());
        let Some(target) = resolve(&here, &used.segments) else {
            continue;
        };
        if let Err(what) = may_use(&here, &target) {
            findings.push(found(&what));
        }
    }
    for (line, words) in token_lines(text) {
        for banned in ["# [ path", "include !", "extern crate"] {
            if words.contains(banned) {
                findings.push(format!(
                    "{path}:{line}: `{banned}` hides where code comes from"
                ));
            }
        }
    }
    findings
}

/// Says why a module may not use another, both as absolute paths.
fn may_use(here: &[String], target: &[String]) -> Result<(), String> {
    let rank = |name: &String| ORDER.iter().position(|known| known == name);
    let from = here.first().and_then(rank);
    let (Some(from), Some(to)) = (from, target.first().and_then(rank)) else {
        return Err(String::from(
            "does not begin with a module of the map in lib.rs",
        ));
    };
    let area = ORDER[from];
    if to > from {
        return Err(format!(
            "points back: `{area}` stands before `{}`",
            ORDER[to]
        ));
    }
    if to < from || !APART.contains(&area) || here.len() < 2 {
        return Ok(());
    }
    match target.get(1) {
        None => Err(format!("names all of `{area}`, whose folders stand apart")),
        Some(child) if *child == here[1] => Ok(()),
        Some(child) if SHARED.contains(&format!("{area}/{child}").as_str()) => Ok(()),
        Some(child) => Err(format!(
            "joins siblings: `{area}/{}` and `{area}/{child}`",
            here[1]
        )),
    }
}

/// Holds what is said of [`PURE`] modules; their tests are free.
fn check_purity(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for used in paths(text).into_iter().filter(|used| !used.in_test) {
        let written = used.segments.join("::").replacen("core::", "std::", 1);
        let names = |name: &str| used.segments.iter().any(|segment| segment == name);
        let is_impure = IMPURE_PATHS.iter().any(|banned| {
            let all = written.strip_suffix("::*");
            begins_with(&written, banned) || all.is_some_and(|all| begins_with(banned, all))
        });
        let is_variable = used.segments.len() == 1; // `rand` may well be a random number we were told
        let excused = PURE_ANYWAY
            .iter()
            .any(|allowed| begins_with(&written, allowed));
        let prints = ["print", "println", "eprint", "eprintln", "dbg"].contains(&written.as_str());
        let why = if is_impure && !excused && !is_variable {
            "is impure"
        } else if IMPURE_NAMES.iter().any(|name| names(name)) {
            "is a clock, socket, task, lock or chance"
        } else if path.starts_with("src/logic/") && UNORDERED_NAMES.iter().any(|name| names(name)) {
            "has an order by chance; use the BTree kind"
        } else if used
            .segments
            .windows(2)
            .any(|pair| pair == ["Instant", "now"])
            || (used.previous == "." && written == "elapsed")
        {
            "reads the clock; take `now` as an argument"
        } else if written.ends_with("Instant") && used.next == "as" {
            "hides a clock behind another name"
        } else if used.next == "!" && prints {
            "prints"
        } else {
            continue;
        };
        findings.push(format!("{path}:{}: `{}` {why}", used.line, used.shown()));
    }
    findings
}

/// Holds [`CRATE_HOMES`], and that `model` uses serde and the standard library only.
fn check_crates(path: &str, text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for used in paths(text).into_iter().filter(|used| !used.in_test) {
        let Some(name) = used.segments.first().filter(|name| crates.contains(*name)) else {
            continue;
        };
        if used.segments.len() == 1 && !["use", ":", "as"].contains(&used.previous.as_str()) {
            continue;
        }
        let homes = CRATE_HOMES
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, homes)| *homes);
        let at_home = homes.is_none_or(|homes| homes.iter().any(|home| path.starts_with(home)));
        if !at_home || (path.starts_with("src/model/") && name != "serde") {
            findings.push(format!(
                "{path}:{}: crate `{name}` does not belong here",
                used.line
            ));
        }
    }
    findings
}

/// Holds [`MAKERS`].
fn check_makers(path: &str, text: &str) -> Vec<String> {
    if MAKER_HOMES.iter().any(|home| path.starts_with(home)) {
        return Vec::new();
    }
    paths(text)
        .into_iter()
        .filter(|used| !used.in_test)
        .filter(|used| {
            let pairs = || used.segments.windows(2);
            MAKERS
                .iter()
                .any(|(name, maker)| pairs().any(|pair| pair == [*name, *maker]))
        })
        .map(|used| {
            let shown = used.shown();
            format!(
                "{path}:{}: `{shown}` makes a checked type outside the checkers",
                used.line
            )
        })
        .collect()
}

/// Holds [`SYSTEM_CALL_FILES`].
fn check_unsafe(path: &str, text: &str) -> Vec<String> {
    let listed = SYSTEM_CALL_FILES.iter().any(|known| {
        if known.ends_with('/') {
            path.starts_with(known)
        } else {
            path == *known
        }
    });
    if listed {
        return Vec::new();
    }
    tokens(text)
        .into_iter()
        .filter(|token| token.text == "unsafe")
        .map(|token| {
            format!(
                "{path}:{}: `unsafe` outside the system-call files",
                token.line
            )
        })
        .collect()
}

/// Holds `LogField::NAMES`: a field of another name is printed as `field`.
fn check_log_fields(path: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut findings = Vec::new();
    for start in 0..tokens.len() {
        let logs = ["error", "warn", "info", "debug", "trace"].contains(&word(start));
        if !logs || word(start + 1) != "!" || word(start + 2) != "(" {
            continue;
        }
        let (mut depth, mut begins) = (1, true);
        for (index, token) in tokens.iter().enumerate().skip(start + 3) {
            let name = token.text.as_str();
            // A call is an argument of the message.
            let named = begins
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && word(index + 1) != "(";
            if named && !LogField::NAMES.contains(&name) {
                let line = token.line;
                findings.push(format!("{path}:{line}: `{name}` is no field of the log"));
            }
            begins = (begins && ["%", "?"].contains(&name)) || (depth == 1 && word(index) == ",");
            match name {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    findings
}

/// Holds the size of folders.
fn check_folders<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for (folder, _) in paths.filter_map(|path| path.rsplit_once('/')) {
        *folders.entry(folder).or_default() += 1;
    }
    let large = folders
        .into_iter()
        .filter(|(_, count)| *count > FOLDER_FILES_MAX);
    large
        .map(|(folder, count)| {
            format!(
                "{folder}: has {count} files, at most {FOLDER_FILES_MAX}: which concept is missing?"
            )
        })
        .collect()
}

/// Holds the width of comments; what stands between fences or in a table is drawn.
fn check_comments(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut is_drawing = false;
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_drawing = false;
            continue;
        };
        let said = comment.trim_start_matches(['/', '!']).trim_start();
        is_drawing ^= said.starts_with("```");
        let columns = line.chars().count();
        if columns > COMMENT_COLUMNS_MAX && !is_drawing && !said.starts_with('|') {
            let number = index + 1;
            findings.push(format!(
                "{path}:{number}: a comment of {columns} columns, at most {COMMENT_COLUMNS_MAX}"
            ));
        }
    }
    findings
}

/// Holds what every file must have and none may.
fn check_manners(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(format!("{path}:1: does not begin with `//!`"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!(
            "{path}:{lines}: is longer than {FILE_LINES_MAX} lines"
        ));
    }
    findings.extend(check_comments(path, text));
    let tokens = tokens(text);
    for (index, token) in tokens.iter().enumerate() {
        let at = |offset: usize| {
            tokens
                .get(index + offset)
                .map_or("", |next| next.text.as_str())
        };
        let before = index
            .checked_sub(1)
            .map_or("", |before| tokens[before].text.as_str());
        let in_attribute = before == "[" || before == ",";
        let what = match token.text.as_str() {
            "todo" | "unimplemented" if at(1) == "!" => "is not finished",
            "ignore" if before == "[" && ["]", "="].contains(&at(1)) => {
                "skips a test: say why and fail, or do not select it"
            }
            "allow" if in_attribute && at(1) == "(" => {
                "suppresses a lint: use `expect` with a reason"
            }
            "expect"
                if before == "[" && at(1) == "(" && !attribute_has_reason(&tokens[index..]) =>
            {
                "gives no reason"
            }
            _ => continue,
        };
        findings.push(format!("{path}:{}: `{}` {what}", token.line, token.text));
    }
    findings
}

/// Looks for `reason =` before the attribute ends.
fn attribute_has_reason(tokens: &[Token]) -> bool {
    tokens
        .iter()
        .take_while(|token| token.text != "]")
        .any(|token| token.text == "reason")
}

/// Fails with all findings.
fn report(findings: impl Iterator<Item = String>) {
    let findings: Vec<String> = findings.collect();
    assert!(
        findings.is_empty(),
        "{} found:\n{}",
        findings.len(),
        findings.join("\n")
    );
}
