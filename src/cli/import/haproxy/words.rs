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
        kind => other(kind, section, remarks),
    }
}

fn other(kind: &str, section: &Section, remarks: &mut Remarks) {
    let (sort, why) = match kind {
        "peers" => (
            Kind::Otherwise,
            "nodes need tell each other nothing: sessions and hashes are the same on all",
        ),
        "resolvers" => (
            Kind::Otherwise,
            "names are looked up by the resolver of the system, and followed: see `resolve`",
        ),
        "mailers" => (Kind::Otherwise, "no mail is sent: see `notify`"),
        "cache" => (Kind::Otherwise, "answers are not cached here"),
        "ring" | "traces" | "log-forward" => (Kind::Otherwise, "see `access_log`"),
        "userlist" => (Kind::Lost, "nobody is asked for a password here"),
        "http-errors" => (Kind::Otherwise, ERROR_PAGES),
        "crt-store" => (Kind::Lost, "name the certificates in `tls`"),
        _ => (Kind::Lost, "there is nothing like it here"),
    };
    remarks.add(sort, &section.line, why);
}

fn global(line: &Line, remarks: &mut Remarks) {
    let word = line.word(0);
    if [
        "nbthread",
        "maxconn",
        "hard-stop-after",
        "ca-base",
        "crt-base",
        "ssl-server-verify",
    ]
    .contains(&word)
    {
        return;
    }
    let (kind, why) = match word {
        "lua-load" | "lua-load-per-thread" => (Kind::Lost, "there is no Lua here"),
        "daemon"
        | "user"
        | "group"
        | "uid"
        | "gid"
        | "chroot"
        | "pidfile"
        | "master-worker"
        | "ulimit-n"
        | "nbproc"
        | "cpu-map"
        | "node"
        | "description"
        | "setenv"
        | "presetenv"
        | "expose-fd"
        | "mworker-max-reloads"
        | "grace"
        | "fd-hard-limit"
        | "localpeer"
        | "unix-bind"
        | "set-dumpable"
        | "insecure-fork-wanted"
        | "thread-groups" => (
            Kind::Otherwise,
            "that is for the unit of systemd, or for the program itself",
        ),
        "stats" => (
            Kind::Otherwise,
            "`evenkeel status` and the other commands are the socket",
        ),
        "log" | "log-send-hostname" | "log-tag" => (Kind::Otherwise, "see `access_log`"),
        word if word.starts_with("tune.") => (Kind::Otherwise, "there is nothing to tune"),
        word if word.starts_with("ssl-default-") || word.starts_with("ssl-dh") => (
            Kind::Otherwise,
            "what is spoken of TLS is 1.2 and 1.3, and is not configured",
        ),
        "spread-checks" | "max-spread-checks" => {
            (Kind::Otherwise, "probes are spread by themselves")
        }
        "server-state-file" | "server-state-base" | "stats-file" => (
            Kind::Otherwise,
            "states of backends stay over a reload by themselves",
        ),
        "external-check" => (Kind::Otherwise, "no program is run for a backend"),
        "debug"
        | "quiet"
        | "zero-warning"
        | "busy-polling"
        | "noepoll"
        | "nosplice"
        | "nogetaddrinfo"
        | "noreuseport"
        | "profiling.tasks"
        | "maxpipes"
        | "maxconnrate"
        | "maxsslconn"
        | "maxsslrate"
        | "maxsessrate"
        | "maxcomprate"
        | "maxcompcpuusage"
        | "maxzlibmem"
        | "strict-limits"
        | "numa-cpu-mapping"
        | "default-path"
        | "issuers-chain-path"
        | "no"
        | "h1-case-adjust"
        | "h1-case-adjust-file"
        | "hash-seed"
        | "anonkey"
        | "wurfl-data-file"
        | "51degrees-data-file"
        | "51degrees-property-name-list"
        | "51degrees-property-separator"
        | "51degrees-cache-size"
        | "wurfl-information-list"
        | "wurfl-cache-size"
        | "deviceatlas-json-file" => (Kind::Otherwise, "there is no such setting here"),
        _ => (Kind::Lost, "this word is not known to this import"),
    };
    remarks.add(kind, line, why);
}

fn proxy(line: &Line, section: &Section, remarks: &mut Remarks) {
    let word = line.word(0);
    if CARRIED.contains(&word) {
        wrong_place(line, section, remarks);
        return;
    }
    let (kind, why) = match word {
        "option" => return option(line, section, remarks),
        "no" => return,
        "log" | "log-format" | "log-format-sd" | "log-tag" | "unique-id-format"
        | "unique-id-header" | "capture" | "log-steps" | "error-log-format" => (
            Kind::Otherwise,
            "see `access_log`; X-Request-Id is made by itself",
        ),
        "stats" => (Kind::Otherwise, "there is no page: see `evenkeel status`"),
        "errorfile" | "errorfiles" => (Kind::Otherwise, ERROR_PAGES),
        "errorloc" | "errorloc302" | "errorloc303" => (
            Kind::Lost,
            "the proxy's own answers are pages, no redirections: see `error_pages`",
        ),
        "compression" => (
            Kind::Otherwise,
            "answers are relayed as they are, not compressed",
        ),
        "retries" | "retry-on" | "redispatch" => (
            Kind::Otherwise,
            "what may be repeated is, on another backend, where a connection fails",
        ),
        "stick-table" => (
            Kind::Otherwise,
            "what is counted is in `limits`, nothing else",
        ),
        "hash-type" | "hash-balance-factor" | "hash-preserve-affinity" => (
            Kind::Otherwise,
            "hashes are consistent, and the same on all nodes",
        ),
        "monitor" => (
            Kind::Lost,
            "the answer of a `respond` does not depend on pools",
        ),
        "monitor-net" => (
            Kind::Otherwise,
            "connections without a request have no line anyway",
        ),
        "http-error" => (Kind::Otherwise, ERROR_PAGES),
        "rate-limit" => (Kind::Lost, "see `requests` of `limits`"),
        "fullconn"
        | "backlog"
        | "description"
        | "id"
        | "bind-process"
        | "disabled"
        | "enabled"
        | "max-session-srv-conns"
        | "load-server-state-from-file"
        | "server-state-file-name"
        | "declare"
        | "grace"
        | "max-keep-alive-queue"
        | "email-alert"
        | "force-persist"
        | "ignore-persist"
        | "tcp-response"
        | "external-check"
        | "dynamic-cookie-key"
        | "persist"
        | "use-fcgi-app"
        | "guid" => (Kind::Otherwise, "there is no such setting here"),
        "source" if line.words.iter().any(|word| word == "usesrc") => (
            Kind::Lost,
            "backends see the address of this node here: X-Forwarded-For or `proxy_protocol` says \
             whose it is",
        ),
        "source" => (
            Kind::Otherwise,
            "connections to backends come from the address that the route of the host picks",
        ),
        "filter" if line.word(1) == "compression" || line.word(1) == "cache" => {
            (Kind::Otherwise, "answers are relayed as they are")
        }
        "filter" => (Kind::Lost, "there are no filters here"),
        "use-server" => (Kind::Lost, "a route names a pool, not a backend"),
        "dispatch" => (Kind::Lost, "write the address as a backend of a pool"),
        "reqrep" | "reqirep" | "rsprep" | "rspirep" | "reqdeny" | "reqideny" | "reqallow"
        | "reqiallow" | "reqpass" | "reqtarpit" | "reqitarpit" | "rspdeny" | "rspideny" => (
            Kind::Lost,
            "requests are not edited by expressions here: see `routes`",
        ),
        _ => (Kind::Lost, "this word is not known to this import"),
    };
    remarks.add(kind, line, why);
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
    let (kind, why) = match line.word(1) {
        "httpchk"
        | "tcp-check"
        | "redis-check"
        | "smtpchk"
        | "mysql-check"
        | "pgsql-check"
        | "ldap-check"
        | "ssl-hello-chk"
        | "spop-check"
        | "external-check"
        | "http-buffer-request"
        | "allbackups" => return,
        "forwardfor" => {
            if !section.is_http() && section.kind != "defaults" {
                remarks.no_effect(line, "HAProxy does not look at it with `mode tcp`");
                return;
            }
            (
                Kind::Otherwise,
                "X-Forwarded-For is sent anyway; what clients themselves send is believed of \
                 `trusted_proxies` alone",
            )
        }
        "forwarded" => (Kind::Otherwise, "`forwarded: true` of a listener does it"),
        "redispatch" => (Kind::Otherwise, "it is always so, for what may be repeated"),
        "httplog"
        | "tcplog"
        | "httpslog"
        | "logasap"
        | "dontlog-normal"
        | "dontlognull"
        | "log-separate-errors"
        | "log-health-checks"
        | "socket-stats"
        | "contstats" => (Kind::Otherwise, "see `access_log`"),
        "http-server-close"
        | "httpclose"
        | "forceclose"
        | "http-tunnel"
        | "http-pretend-keepalive"
        | "http-keep-alive"
        | "prefer-last-server"
        | "http-no-delay"
        | "idle-close-on-response" => (
            Kind::Otherwise,
            "connections are kept on both sides: see `keep_alive`",
        ),
        "abortonclose" => (Kind::Otherwise, "it is always so"),
        "clitcpka"
        | "srvtcpka"
        | "tcpka"
        | "nolinger"
        | "splice-auto"
        | "splice-request"
        | "splice-response"
        | "tcp-smart-accept"
        | "tcp-smart-connect"
        | "independent-streams"
        | "http-use-htx"
        | "http-ignore-probes"
        | "http-use-proxy-header"
        | "persist"
        | "originalto"
        | "checkcache"
        | "dontlog"
        | "http-restrict-req-hdr-names"
        | "h1-case-adjust-bogus-client"
        | "h1-case-adjust-bogus-server" => (Kind::Otherwise, "there is no such setting here"),
        "accept-invalid-http-request"
        | "accept-invalid-http-response"
        | "accept-unsafe-violations-in-http-request"
        | "accept-unsafe-violations-in-http-response" => {
            (Kind::Lost, "what is no HTTP is refused here")
        }
        "transparent" | "http_proxy" | "http-proxy" => {
            (Kind::Lost, "requests go to the backends of a pool here")
        }
        _ => (Kind::Lost, "this option is not known to this import"),
    };
    remarks.add(kind, line, why);
}

const ERROR_PAGES: &str = "a page is a file of its own here, without the head of HTTP that \
                           HAProxy's has: cut that off and name it in `error_pages`";

/// Words that are read where sections become listeners and pools.
const CARRIED: [&str; 33] = [
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
    "http-send-name-header",
    "http-reuse",
];
