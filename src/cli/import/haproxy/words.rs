//! Words of HAProxy that become nothing here, and why.

use super::sections::Section;
use crate::cli::import::remarks::{Kind, Line, Remarks};

/// Says what becomes of the lines of a section that are carried over nowhere else.
pub fn remark(section: &Section, remarks: &mut Remarks) {
    match section.kind.as_str() {
        "global" => {
            for line in &section.own {
                global(line, remarks);
            }
        }
        "defaults" | "frontend" | "backend" | "listen" => {
            for line in &section.own {
                proxy(line, section, remarks);
            }
        }
        kind => by_table(kind, &SECTIONS, &section.line, remarks),
    }
}

fn global(line: &Line, remarks: &mut Remarks) {
    let word = line.word(0);
    if CARRIED_GLOBALS.contains(&word) {
        return;
    }
    let families = FAMILIES.iter();
    let family = families
        .filter(|(begin, _)| word.starts_with(begin))
        .map(|(_, why)| *why)
        .next();
    match family {
        Some(why) => remarks.otherwise(line, why),
        None => by_table(word, &GLOBALS, line, remarks),
    }
}

fn proxy(line: &Line, section: &Section, remarks: &mut Remarks) {
    let word = line.word(0);
    let says = |word: &str| line.words.iter().any(|other| other == word);
    if CARRIED.contains(&word) {
        wrong_place(line, section, remarks);
    } else if word == "option" {
        option(line, section, remarks);
    } else if word == "source" && says("usesrc") {
        let why = "backends see the address of this node here: X-Forwarded-For or \
                   `proxy_protocol` says whose it is";
        remarks.lost(line, why);
    } else if word == "filter" && (says("compression") || says("cache")) {
        remarks.otherwise(line, RELAYED);
    } else if word != "no" {
        by_table(word, &PROXIES, line, remarks);
    }
}

/// Words that HAProxy does not heed where they stand.
fn wrong_place(line: &Line, section: &Section, remarks: &mut Remarks) {
    let (front, back) = (section.is_front(), section.is_back());
    let word = line.word(0);
    if section.kind == "defaults" {
        return;
    }
    if !front && ["bind", "use_backend", "default_backend", "maxconn"].contains(&word) {
        remarks.no_effect(line, "a backend has none");
    }
    let of_back = [
        "server",
        "balance",
        "cookie",
        "stick",
        "http-check",
        "tcp-check",
    ];
    if !back && of_back.contains(&word) {
        remarks.no_effect(line, "a frontend has none");
    }
}

fn option(line: &Line, section: &Section, remarks: &mut Remarks) {
    let word = line.word(1);
    if CARRIED_OPTIONS.contains(&word) {
        return;
    }
    if word == "forwardfor" && !section.is_http() && section.kind != "defaults" {
        remarks.no_effect(line, "HAProxy does not look at it with `mode tcp`");
        return;
    }
    by_table(word, &OPTIONS, line, remarks);
}

fn by_table(word: &str, table: &[Row], line: &Line, remarks: &mut Remarks) {
    let row = table.iter().find(|(_, words, _)| words.contains(&word));
    match row {
        Some((kind, _, why)) => remarks.add(*kind, line, *why),
        None => remarks.lost(line, format!("{word} is not known to this import")),
    }
}

/// What becomes of some words, and why.
type Row = (Kind, &'static [&'static str], &'static str);

const ERROR_PAGES: &str = "a page is a file of its own here, without the head of HTTP that \
                           HAProxy's has: cut that off and name it in `error_pages`";
const NO_SETTING: &str = "there is no such setting here";
const RELAYED: &str = "answers are relayed as they are, not compressed or cached";
const OF_THE_SYSTEM: &str =
    "names are looked up by the resolver of the system, and followed: see `resolve`";
const OF_THE_UNIT: &str = "that is for the unit of systemd, or for the program itself";

const SECTIONS: [Row; 9] = [
    (
        Kind::Otherwise,
        &["peers"],
        "nodes need tell each other nothing: sessions and hashes are the same on all",
    ),
    (Kind::Otherwise, &["resolvers"], OF_THE_SYSTEM),
    (
        Kind::Otherwise,
        &["mailers"],
        "no mail is sent: see `notify`",
    ),
    (Kind::Otherwise, &["cache"], RELAYED),
    (
        Kind::Otherwise,
        &["ring", "traces", "log-forward"],
        "see `access_log`",
    ),
    (
        Kind::Lost,
        &["userlist"],
        "nobody is asked for a password here",
    ),
    (Kind::Otherwise, &["http-errors"], ERROR_PAGES),
    (Kind::Lost, &["crt-store"], "name the certificates in `tls`"),
    (
        Kind::Lost,
        &["program", "fcgi-app"],
        "there is nothing like it here",
    ),
];

/// Words of `global` that are read in `globals`.
const CARRIED_GLOBALS: [&str; 6] = [
    "nbthread",
    "maxconn",
    "hard-stop-after",
    "ca-base",
    "crt-base",
    "ssl-server-verify",
];

/// Beginnings of words of `global`.
const FAMILIES: [(&str, &str); 6] = [
    ("tune.", "there is nothing to tune"),
    (
        "ssl-default-",
        "what is spoken of TLS is 1.2 and 1.3, and is not configured",
    ),
    (
        "ssl-dh",
        "what is spoken of TLS is 1.2 and 1.3, and is not configured",
    ),
    ("wurfl-", "devices are not told apart here"),
    ("51degrees-", "devices are not told apart here"),
    ("deviceatlas-", "devices are not told apart here"),
];

const GLOBALS: [Row; 8] = [
    (
        Kind::Lost,
        &["lua-load", "lua-load-per-thread"],
        "there is no Lua here",
    ),
    (
        Kind::Otherwise,
        &[
            "daemon",
            "user",
            "group",
            "uid",
            "gid",
            "chroot",
            "pidfile",
            "master-worker",
            "ulimit-n",
            "nbproc",
            "cpu-map",
            "node",
            "description",
            "setenv",
            "presetenv",
            "expose-fd",
            "mworker-max-reloads",
            "grace",
            "fd-hard-limit",
            "localpeer",
            "unix-bind",
            "set-dumpable",
            "insecure-fork-wanted",
            "thread-groups",
        ],
        OF_THE_UNIT,
    ),
    (
        Kind::Otherwise,
        &["stats"],
        "`evenkeel status` and the other commands are the socket",
    ),
    (
        Kind::Otherwise,
        &["log", "log-send-hostname", "log-tag"],
        "see `access_log`",
    ),
    (
        Kind::Otherwise,
        &["spread-checks", "max-spread-checks"],
        "probes are spread by themselves",
    ),
    (
        Kind::Otherwise,
        &["server-state-file", "server-state-base", "stats-file"],
        "states of backends stay over a reload by themselves",
    ),
    (
        Kind::Otherwise,
        &["external-check"],
        "no program is run for a backend",
    ),
    (
        Kind::Otherwise,
        &[
            "debug",
            "quiet",
            "zero-warning",
            "busy-polling",
            "noepoll",
            "nokqueue",
            "nopoll",
            "nosplice",
            "nogetaddrinfo",
            "noreuseport",
            "profiling.tasks",
            "maxpipes",
            "maxconnrate",
            "maxsslconn",
            "maxsslrate",
            "maxsessrate",
            "maxcomprate",
            "maxcompcpuusage",
            "maxzlibmem",
            "strict-limits",
            "numa-cpu-mapping",
            "default-path",
            "issuers-chain-path",
            "no",
            "h1-case-adjust",
            "h1-case-adjust-file",
            "hash-seed",
            "anonkey",
        ],
        NO_SETTING,
    ),
];

const PROXIES: [Row; 19] = [
    (
        Kind::Otherwise,
        &[
            "log",
            "log-format",
            "log-format-sd",
            "log-tag",
            "unique-id-format",
            "unique-id-header",
            "capture",
            "log-steps",
            "error-log-format",
        ],
        "see `access_log`; X-Request-Id is made by itself",
    ),
    (
        Kind::Otherwise,
        &["stats"],
        "there is no page: see `evenkeel status`",
    ),
    (
        Kind::Otherwise,
        &["errorfile", "errorfiles", "http-error"],
        ERROR_PAGES,
    ),
    (
        Kind::Lost,
        &["errorloc", "errorloc302", "errorloc303"],
        "the proxy's own answers are pages, no redirections: see `error_pages`",
    ),
    (Kind::Otherwise, &["compression"], RELAYED),
    (
        Kind::Otherwise,
        &["retries", "retry-on", "redispatch"],
        "what may be repeated is, on another backend, where a connection fails",
    ),
    (
        Kind::Otherwise,
        &["stick-table"],
        "what is counted is in `limits`, nothing else",
    ),
    (
        Kind::Otherwise,
        &["hash-type", "hash-balance-factor", "hash-preserve-affinity"],
        "hashes are consistent, and the same on all nodes",
    ),
    (
        Kind::Lost,
        &["monitor"],
        "the answer of a `respond` does not depend on pools",
    ),
    (
        Kind::Otherwise,
        &["monitor-net"],
        "connections without a request have no line anyway",
    ),
    (Kind::Lost, &["rate-limit"], "see `requests` of `limits`"),
    (
        Kind::Otherwise,
        &[
            "fullconn",
            "backlog",
            "description",
            "id",
            "bind-process",
            "disabled",
            "enabled",
            "max-session-srv-conns",
            "load-server-state-from-file",
            "server-state-file-name",
            "declare",
            "grace",
            "max-keep-alive-queue",
            "email-alert",
            "force-persist",
            "ignore-persist",
            "tcp-response",
            "external-check",
            "dynamic-cookie-key",
            "persist",
            "use-fcgi-app",
            "guid",
        ],
        NO_SETTING,
    ),
    (
        Kind::Otherwise,
        &["source"],
        "connections to backends come from the address that the route of the host picks",
    ),
    (Kind::Lost, &["filter"], "there are no filters here"),
    (
        Kind::Lost,
        &["use-server"],
        "a route names a pool, not a backend",
    ),
    (
        Kind::Lost,
        &["dispatch"],
        "write the address as a backend of a pool",
    ),
    (
        Kind::Lost,
        &["http-send-name-header"],
        "a backend is not told its name",
    ),
    (
        Kind::Lost,
        &["reqrep", "reqirep", "rsprep", "rspirep"],
        "requests are not edited by expressions here: see `routes`",
    ),
    (
        Kind::Lost,
        &[
            "reqdeny",
            "reqideny",
            "reqallow",
            "reqiallow",
            "reqpass",
            "reqtarpit",
            "reqitarpit",
            "rspdeny",
            "rspideny",
        ],
        "there are no expressions here: see `routes`",
    ),
];

/// Options that are read where sections become pools.
const CARRIED_OPTIONS: [&str; 12] = [
    "http-buffer-request",
    "httpchk",
    "tcp-check",
    "redis-check",
    "smtpchk",
    "mysql-check",
    "pgsql-check",
    "ldap-check",
    "ssl-hello-chk",
    "spop-check",
    "external-check",
    "allbackups",
];

const OPTIONS: [Row; 9] = [
    (
        Kind::Otherwise,
        &["forwardfor"],
        "X-Forwarded-For is sent anyway; what clients themselves send is believed of \
         `trusted_proxies` alone",
    ),
    (
        Kind::Otherwise,
        &["forwarded"],
        "`forwarded: true` of a listener does it",
    ),
    (
        Kind::Otherwise,
        &["redispatch", "abortonclose"],
        "it is always so, for what may be repeated",
    ),
    (
        Kind::Otherwise,
        &[
            "httplog",
            "tcplog",
            "httpslog",
            "logasap",
            "dontlog-normal",
            "dontlognull",
            "log-separate-errors",
            "log-health-checks",
            "socket-stats",
            "contstats",
        ],
        "see `access_log`",
    ),
    (
        Kind::Otherwise,
        &[
            "http-server-close",
            "httpclose",
            "forceclose",
            "http-tunnel",
            "http-pretend-keepalive",
            "http-keep-alive",
            "prefer-last-server",
            "http-no-delay",
            "idle-close-on-response",
        ],
        "connections are kept on both sides: see `keep_alive`",
    ),
    (
        Kind::Otherwise,
        &[
            "clitcpka",
            "srvtcpka",
            "tcpka",
            "nolinger",
            "splice-auto",
            "splice-request",
            "splice-response",
            "tcp-smart-accept",
            "tcp-smart-connect",
            "independent-streams",
            "http-use-htx",
            "http-ignore-probes",
            "http-use-proxy-header",
            "persist",
            "originalto",
            "checkcache",
            "dontlog",
            "http-restrict-req-hdr-names",
            "h1-case-adjust-bogus-client",
            "h1-case-adjust-bogus-server",
        ],
        NO_SETTING,
    ),
    (
        Kind::Lost,
        &[
            "accept-invalid-http-request",
            "accept-invalid-http-response",
            "accept-unsafe-violations-in-http-request",
            "accept-unsafe-violations-in-http-response",
        ],
        "what is no HTTP is refused here",
    ),
    (
        Kind::Lost,
        &["transparent", "http_proxy", "http-proxy"],
        "requests go to the backends of a pool here",
    ),
    (
        Kind::Lost,
        &["http-drop-request-trailers", "http-drop-response-trailers"],
        "trailers are relayed here",
    ),
];

/// Words that are read where sections become listeners and pools.
const CARRIED: [&str; 32] = [
    "mode",
    "bind",
    "acl",
    "use_backend",
    "default_backend",
    "redirect",
    "http-request",
    "http-response",
    "http-after-response",
    "tcp-request",
    "balance",
    "cookie",
    "appsession",
    "server",
    "server-template",
    "default-server",
    "http-check",
    "tcp-check",
    "timeout",
    "contimeout",
    "clitimeout",
    "srvtimeout",
    "maxconn",
    "monitor-uri",
    "stick",
    "reqadd",
    "reqidel",
    "reqdel",
    "rspadd",
    "rspidel",
    "rspdel",
    "http-reuse",
];
