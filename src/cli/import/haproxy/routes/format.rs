//! HAProxy's log-formats, `%[src]` and the like, as placeholders of ours.

/// Returns a text of ours for one with `%[...]`.
///
/// # Errors
/// What stands for nothing here.
pub fn placeholders(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '{', '}']) {
        out.push_str(&rest[..at]);
        let special = &rest[at..];
        rest = &special[1..];
        match special.as_bytes()[0] {
            b'{' => out.push_str("{{"),
            b'}' => out.push_str("}}"),
            _ => rest = sample(rest, &mut out)?,
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Writes what stands behind a `%`; returns what follows.
fn sample<'t>(rest: &'t str, out: &mut String) -> Result<&'t str, String> {
    if let Some(behind) = rest.strip_prefix('%') {
        out.push('%');
        return Ok(behind);
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let (expression, behind) = inside.split_once(']').ok_or("%[ is not closed")?;
        let expression = expression.replace(' ', "");
        out.push_str(placeholder(&expression).ok_or(format!("%[{expression}]: {NOTHING}"))?);
        return Ok(behind);
    }
    for (alias, ours) in ALIASES {
        if let Some(behind) = rest.strip_prefix(alias) {
            out.push_str(ours);
            return Ok(behind);
        }
    }
    Err(format!(
        "%{}: {NOTHING}",
        rest.chars().take(4).collect::<String>()
    ))
}

fn placeholder(expression: &str) -> Option<&'static str> {
    let lower = expression.to_ascii_lowercase();
    let fetch = lower.strip_suffix(",lower").unwrap_or(&lower);
    let found = match fetch {
        "src" => "{client}",
        "src_port" => "{client_port}",
        "hdr(host)"
        | "req.hdr(host)"
        | "req.hdr(host),field(1,:)"
        | "hdr(host),field(1,:)"
        | "ssl_fc_sni"
            if fetch != "ssl_fc_sni" =>
        {
            "{host}"
        }
        "method" => "{method}",
        "path" => "{path}",
        "capture.req.uri" | "pathq" | "url" => "{path}{query}",
        "unique-id" | "uuid" | "uuid()" => "{request_id}",
        "ssl_fc_sni" => "{tls_server_name}",
        "ssl_fc_protocol" => "{tls_version}",
        "ssl_fc_cipher" => "{tls_cipher}",
        "ssl_c_s_dn" => "{client_certificate}",
        _ => return None,
    };
    Some(found)
}

const NOTHING: &str = "there is no placeholder like it here";

const ALIASES: [(&str, &str); 8] = [
    ("ci", "{client}"),
    ("cp", "{client_port}"),
    ("HM", "{method}"),
    ("HPO", "{path}"),
    ("HP", "{path}"),
    ("HU", "{path}{query}"),
    ("HQ", "{query}"),
    ("ID", "{request_id}"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_placeholders() {
        for (text, hoped) in [
            ("%[src]", "{client}"),
            ("a%%b{c}", "a%b{{c}}"),
            (
                "https://%[hdr(host)]%[capture.req.uri]",
                "https://{host}{path}{query}",
            ),
            ("%ci:%cp", "{client}:{client_port}"),
            ("%[ssl_fc_sni]", "{tls_server_name}"),
        ] {
            assert_eq!(placeholders(text).as_deref(), Ok(hoped), "{text}");
        }
        for bad in ["%[var(txn.a)]", "%[src", "%é", "%"] {
            assert!(placeholders(bad).is_err(), "{bad}");
        }
    }
}
