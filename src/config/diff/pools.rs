//! What changes of pools and their backends.

use std::path::PathBuf;
use std::time::Duration;

use super::words::{Step, Words, by_name};
use crate::config::{
    BackendConfig, CookieRules, EjectionRules, Fallback, Follow, HealthCheckConfig,
    KeepAliveConfig, NamedBackend, PoolConfig, PoolTimeouts, ProbeConfig, Tier,
};

/// Compares the pools.
pub(super) fn pools(old: &[PoolConfig], new: &[PoolConfig]) -> Vec<Step> {
    by_name(old, new, |one| &one.name, "pool", pool)
}

fn pool(old: &PoolConfig, new: &PoolConfig, words: &mut Words) {
    let PoolConfig {
        name: _,
        backends,
        follow: before,
        balance,
        health_check,
        timeouts,
        keep_alive,
        slow_start,
        fallback,
        ejection,
        affinity,
        tls,
        protocol,
        proxy_protocol,
        buffer_requests,
        reproxy,
    } = old;
    let steps = by_name(backends, &new.backends, |one| &one.name, "backend", backend);
    for Step { subject, change } in &steps {
        words.say(format!("{subject} {change}"));
    }
    let names = |backends: &[BackendConfig]| -> Vec<String> {
        backends.iter().map(|one| one.name.clone()).collect()
    };
    if steps.is_empty() && names(backends) != names(&new.backends) {
        words.say("order of backends changed");
    }
    follow(before, &new.follow, words);
    words.value("balance", balance, &new.balance);
    self::health_check(health_check, &new.health_check, words);
    self::timeouts(timeouts, &new.timeouts, words);
    self::keep_alive(keep_alive, &new.keep_alive, words);
    words.duration("slow_start", *slow_start, new.slow_start);
    self::fallback(fallback.as_ref(), new.fallback.as_ref(), words);
    self::ejection(ejection.as_ref(), new.ejection.as_ref(), words);
    self::affinity(affinity.as_ref(), new.affinity.as_ref(), words);
    super::tls::pool(tls.as_ref(), new.tls.as_ref(), words);
    words.value("protocol", protocol, &new.protocol);
    let (before, after) = (proxy_protocol.as_ref(), new.proxy_protocol.as_ref());
    words.optional("proxy_protocol", "none", before, after);
    let (before, after) = (buffer_requests.as_ref(), new.buffer_requests.as_ref());
    words.optional("buffer_requests", "none", before, after);
    words.optional("reproxy", "none", reproxy.as_ref(), new.reproxy.as_ref());
}

fn follow(old: &Follow, new: &Follow, words: &mut Words) {
    let Follow {
        file,
        names,
        interval,
    } = old;
    let shown = |file: &Option<PathBuf>| file.as_ref().map(|path| path.display().to_string());
    let (before, after) = (shown(file), shown(&new.file));
    words.optional("backends_file", "none", before.as_ref(), after.as_ref());
    for Step { subject, change } in by_name(names, &new.names, |one| &one.name, "name", name) {
        words.say(format!("{subject} {change}"));
    }
    words.duration("resolve interval", *interval, new.interval);
}

fn name(old: &NamedBackend, new: &NamedBackend, words: &mut Words) {
    let NamedBackend {
        name: _,
        host,
        port,
        // These are said of each of its backends.
        weight: _,
        requests: _,
        tier: _,
    } = old;
    words.value("host", host, &new.host);
    words.value("port", port, &new.port);
}

fn backend(old: &BackendConfig, new: &BackendConfig, words: &mut Words) {
    let BackendConfig {
        name: _,
        address,
        weight,
        requests,
        mode,
        tier,
        // One that moves from a list to another is the same.
        origin: _,
    } = old;
    words.value("address", address, &new.address);
    words.value("weight", weight, &new.weight);
    let (before, after) = (requests.as_ref(), new.requests.as_ref());
    words.optional("requests", "any", before, after);
    words.switch("mode", mode, &new.mode);
    let is_backup = |tier: Tier| tier == Tier::Backup;
    words.value("backup", &is_backup(*tier), &is_backup(new.tier));
}

fn health_check(old: &HealthCheckConfig, new: &HealthCheckConfig, words: &mut Words) {
    let (old, new) = match (old, new) {
        (HealthCheckConfig::None, HealthCheckConfig::None) => return,
        (HealthCheckConfig::None, HealthCheckConfig::Probe(_)) => {
            return words.say("health check added");
        }
        (HealthCheckConfig::Probe(_), HealthCheckConfig::None) => {
            return words.say("health check removed");
        }
        (HealthCheckConfig::Probe(old), HealthCheckConfig::Probe(new)) => (old, new),
    };
    let ProbeConfig {
        kind,
        interval,
        interval_changing,
        port,
        tls,
        timeout,
        rise,
        fall,
    } = old;
    words.other("health check", kind, &new.kind);
    words.duration("health check interval", *interval, new.interval);
    let changing = "health check interval_changing";
    words.duration(changing, *interval_changing, new.interval_changing);
    let (before, after) = (port.as_ref(), new.port.as_ref());
    words.optional("health check port", "the backend's", before, after);
    words.value("health check tls", tls, &new.tls);
    words.duration("health check timeout", *timeout, new.timeout);
    words.value("health check rise", rise, &new.rise);
    words.value("health check fall", fall, &new.fall);
}

fn fallback(old: Option<&Fallback>, new: Option<&Fallback>, words: &mut Words) {
    let named = |fallback: Option<&Fallback>| match fallback {
        None => "none".to_owned(),
        Some(Fallback::Pool(name)) => format!("pool {name}"),
        Some(Fallback::Respond(respond)) => format!("status {}", respond.status),
    };
    match (old, new) {
        (Some(Fallback::Respond(old)), Some(Fallback::Respond(new)))
            if old.status == new.status =>
        {
            words.other("fallback", old, new);
        }
        (
            None | Some(Fallback::Pool(_) | Fallback::Respond(_)),
            None | Some(Fallback::Pool(_) | Fallback::Respond(_)),
        ) => words.value("fallback", &named(old), &named(new)),
    }
}

fn ejection(old: Option<&EjectionRules>, new: Option<&EjectionRules>, words: &mut Words) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return words.say("ejection added"),
        (Some(_), None) => return words.say("ejection removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let EjectionRules {
        consecutive_failures,
        failures,
        requests,
        interval,
        time,
        time_max,
        most,
    } = old;
    let (before, after) = (consecutive_failures, &new.consecutive_failures);
    words.value("ejection consecutive_failures", before, after);
    let percent = |share: u8| format!("{share}%");
    let (before, after) = (percent(*failures), percent(new.failures));
    words.value("ejection failures", &before, &after);
    words.value("ejection requests", requests, &new.requests);
    words.duration("ejection interval", *interval, new.interval);
    words.duration("ejection time", *time, new.time);
    words.duration("ejection time_max", *time_max, new.time_max);
    words.value("ejection most", &percent(*most), &percent(new.most));
}

fn affinity(old: Option<&CookieRules>, new: Option<&CookieRules>, words: &mut Words) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return words.say("affinity added"),
        (Some(_), None) => return words.say("affinity removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let CookieRules {
        name,
        path,
        secure,
        http_only,
        same_site,
        lifetime,
    } = old;
    words.value("affinity cookie", name, &new.name);
    words.value("affinity path", path, &new.path);
    words.value("affinity secure", secure, &new.secure);
    words.value("affinity http_only", http_only, &new.http_only);
    words.value("affinity same_site", same_site, &new.same_site);
    let shown = |lifetime: Option<Duration>| lifetime.map(|lifetime| format!("{lifetime:?}"));
    let (before, after) = (shown(*lifetime), shown(new.lifetime));
    let missing = "of the client's session";
    words.optional(
        "affinity lifetime",
        missing,
        before.as_ref(),
        after.as_ref(),
    );
}

fn timeouts(old: &PoolTimeouts, new: &PoolTimeouts, words: &mut Words) {
    let PoolTimeouts {
        connect,
        response_head,
        queue,
        backend_fin,
    } = *old;
    words.duration("timeout connect", connect, new.connect);
    words.duration("timeout response_head", response_head, new.response_head);
    words.duration("timeout queue", queue, new.queue);
    words.duration("timeout backend_fin", backend_fin, new.backend_fin);
}

fn keep_alive(old: &KeepAliveConfig, new: &KeepAliveConfig, words: &mut Words) {
    let KeepAliveConfig {
        timeout,
        connections,
        reuse,
    } = old;
    words.duration("keep_alive timeout", *timeout, new.timeout);
    words.value("keep_alive connections", connections, &new.connections);
    words.switch("keep_alive reuse", reuse, &new.reuse);
}
