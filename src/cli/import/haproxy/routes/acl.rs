//! ACLs: what a test on a request becomes as conditions of routes, or why it cannot.
//!
//! A test is a list of conditions of which one must hold. What is known of a connection before
//! any request, such as whether it speaks TLS, is decided here.

use super::conjunct::{Conjunct, Network, PathTest};

/// What is known of the connections that rules are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether they speak TLS here.
    pub tls: bool,
    /// Whether they carry requests.
    pub http: bool,
    /// The port that they came to, where it is one.
    pub port: Option<u16>,
}

/// What a test becomes.
#[derive(Clone, Debug, Default)]
pub struct Test {
    /// One of these must hold; empty: it never does.
    pub any: Vec<Conjunct>,
    /// What is a little otherwise here.
    pub notes: Vec<&'static str>,
}

/// Reads a test: a criterion, flags and values.
///
/// # Errors
/// Why it cannot be a condition of a route.
pub fn test(words: &[String], known: &Known) -> Result<Test, String> {
    let Some((criterion, rest)) = words.split_first() else {
        return Err("nothing is tested".to_owned());
    };
    let mut values = Vec::new();
    let (mut matching, mut no_case) = (String::new(), false);
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-i" => no_case = true,
            "-n" | "--" | "-u" => {}
            "-m" => rest
                .next()
                .map_or("", String::as_str)
                .clone_into(&mut matching),
            "-f" | "-M" => return Err("lists in files are not read".to_owned()),
            value => values.push(value.to_owned()),
        }
    }
    let criterion = criterion.replace(' ', "");
    let (fetch, converters) = split_fetch(&criterion);
    let harmless = ["lower", "field(1,:)", "host_only", "url_dec"];
    if let Some(unknown) = converters.iter().find(|one| !harmless.contains(one)) {
        return Err(format!("there is nothing like {unknown} here"));
    }
    let (fetch, argument) = match fetch.split_once('(') {
        Some((fetch, argument)) => (fetch, argument.trim_end_matches(')').to_lowercase()),
        None => (fetch, String::new()),
    };
    let (base, of_name) = method_of(fetch);
    if matching.is_empty() {
        of_name.clone_into(&mut matching);
    }
    let matching = matching.as_str();
    let mut test = Test::default();
    match base {
        "ssl_fc" => test.decide(known.tls),
        "always_true" | "wait_end" | "req_len" | "req.len" => test.decide(true),
        "always_false" => test.decide(false),
        "dst_port" if known.port.is_some() && values.iter().all(|v| v.parse::<u16>().is_ok()) => {
            test.decide(values.iter().any(|value| value.parse().ok() == known.port));
        }
        "req_ssl_hello_type" | "req.ssl_hello_type" | "req_ssl_ver" | "req.ssl_ver"
            if !known.http =>
        {
            test.decide(true);
        }
        "src" => test.clients(&values)?,
        "method" => test.methods(&values),
        "path" | "url" | "capture.req.uri" => test.paths(matching, &values, no_case)?,
        "hdr" | "req.hdr" | "req.fhdr" | "hdr_ip" if argument.starts_with("host") => {
            test.hosts(matching, &values)?;
        }
        "ssl_fc_sni" if known.http => test.hosts(matching, &values)?,
        "ssl_fc_sni" | "req_ssl_sni" | "req.ssl_sni" if !known.http => {
            test.hosts(matching, &values)?;
            for one in &mut test.any {
                one.sni = one.hosts.take();
            }
        }
        "hdr" | "req.hdr" | "req.fhdr" => test.fields(&argument, matching, &values, no_case)?,
        "url_param" | "urlp" => test.parameters(&argument, matching, &values)?,
        "base" => test.bases(matching, &values)?,
        other => return Err(format!("there is nothing like {other} here")),
    }
    Ok(test)
}

/// Returns the tests that HAProxy itself has names for.
pub fn predefined(name: &str) -> Option<Vec<String>> {
    let words = match name {
        "TRUE" | "WAIT_END" | "HTTP" | "HTTP_1.0" | "HTTP_1.1" | "REQ_CONTENT" => "always_true",
        "FALSE" => "always_false",
        "LOCALHOST" => "src 127.0.0.0/8 ::1",
        "METH_GET" => "method GET HEAD",
        "METH_POST" => "method POST",
        "METH_PUT" => "method PUT",
        "METH_DELETE" => "method DELETE",
        "METH_HEAD" => "method HEAD",
        "METH_OPTIONS" => "method OPTIONS",
        "METH_CONNECT" => "method CONNECT",
        "METH_TRACE" => "method TRACE",
        _ => return None,
    };
    Some(words.split(' ').map(str::to_owned).collect())
}

/// Divides a fetch from its converters, at commas outside of parentheses.
fn split_fetch(text: &str) -> (&str, Vec<&str>) {
    let mut depth = 0_usize;
    let mut parts = text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let fetch = parts.next().unwrap_or("");
    (fetch, parts.collect())
}

/// Returns a criterion without the way of matching that its name ends in, and that.
fn method_of(fetch: &str) -> (&str, &str) {
    let known = [
        "path",
        "hdr",
        "url",
        "base",
        "req.hdr",
        "url_param",
        "urlp",
        "ssl_fc_sni",
        "req.ssl_sni",
    ];
    for method in ["beg", "end", "reg", "sub", "dir", "dom", "len"] {
        let base = fetch
            .strip_suffix(method)
            .and_then(|rest| rest.strip_suffix('_'));
        if let Some(base) = base.filter(|base| known.contains(base)) {
            return (base, method);
        }
    }
    (fetch, "")
}

impl Test {
    fn decide(&mut self, holds: bool) {
        if holds {
            self.any.push(Conjunct::default());
        }
    }

    fn note(&mut self, note: &'static str) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn clients(&mut self, values: &[String]) -> Result<(), String> {
        let networks: Option<Vec<_>> = values.iter().map(|value| Network::parse(value)).collect();
        let networks = networks.ok_or("a client is told by address here")?;
        self.any.push(Conjunct {
            clients: Some(networks),
            ..Conjunct::default()
        });
        Ok(())
    }

    fn methods(&mut self, values: &[String]) {
        self.any.push(Conjunct {
            methods: Some(values.to_vec()),
            ..Conjunct::default()
        });
    }

    fn paths(&mut self, matching: &str, values: &[String], no_case: bool) -> Result<(), String> {
        if no_case {
            self.note("the case of a path matters here");
        }
        for value in values {
            self.path(matching, value)?;
        }
        Ok(())
    }

    fn path(&mut self, matching: &str, value: &str) -> Result<(), String> {
        let path = match matching {
            "" | "str" => PathTest::Exact(value.to_owned()),
            "beg" => {
                if !value.ends_with('/') {
                    self.note(WHOLE_SEGMENTS);
                }
                PathTest::Prefix(value.to_owned())
            }
            "reg" => match literal(value) {
                Some((true, true, path)) => PathTest::Exact(path),
                Some((true, false, path)) => {
                    if !path.ends_with('/') {
                        self.note(WHOLE_SEGMENTS);
                    }
                    PathTest::Prefix(path)
                }
                Some((false, _, _)) | None => {
                    return Err("there are no regular expressions for paths here".to_owned());
                }
            },
            _ => {
                return Err("a route looks at the beginning of a path, or at the whole".to_owned());
            }
        };
        if !path.text().starts_with('/') || path.text().contains('?') {
            return Err("a path begins with / here, and has no query".to_owned());
        }
        self.any.push(Conjunct {
            path: Some(path),
            ..Conjunct::default()
        });
        Ok(())
    }

    fn hosts(&mut self, matching: &str, values: &[String]) -> Result<(), String> {
        let mut hosts = Vec::new();
        for value in values {
            let value = value.to_ascii_lowercase();
            let bare = without_port(&value);
            match matching {
                "" | "str" => hosts.push(bare.to_owned()),
                "beg" if bare.matches('.').count() > 1 && !bare.ends_with('.') => {
                    self.note("a host is compared whole here, without its port");
                    hosts.push(bare.to_owned());
                }
                "end" if bare.starts_with('.') => hosts.push(format!("*{bare}")),
                "end" | "dom" => {
                    self.note("this name and those below it are taken, no others");
                    hosts.push(bare.to_owned());
                    hosts.push(format!("*.{bare}"));
                }
                "reg" => match literal(&value) {
                    Some((true, true, host)) => hosts.push(host),
                    Some(_) | None => {
                        return Err("there are no regular expressions for hosts here".to_owned());
                    }
                },
                _ => return Err("a host is a name, or all below one, here".to_owned()),
            }
        }
        self.any.push(Conjunct {
            hosts: Some(hosts),
            ..Conjunct::default()
        });
        Ok(())
    }

    fn fields(
        &mut self,
        name: &str,
        matching: &str,
        values: &[String],
        no_case: bool,
    ) -> Result<(), String> {
        let name = name.split(',').next().unwrap_or(name);
        let mut add = |value: Option<String>| {
            self.any.push(Conjunct {
                headers: vec![(titled(name), value)],
                ..Conjunct::default()
            });
        };
        match matching {
            "found" => add(None),
            "" | "str" => {
                for value in values {
                    let value = if name == "upgrade" {
                        value.to_ascii_lowercase()
                    } else {
                        value.clone()
                    };
                    add(Some(value));
                }
                if no_case {
                    self.note("the case of a field's value matters here");
                }
            }
            _ => return Err("a field has a value, or is there, here".to_owned()),
        }
        Ok(())
    }

    fn parameters(&mut self, name: &str, matching: &str, values: &[String]) -> Result<(), String> {
        let values: Vec<Option<String>> = match matching {
            "found" => vec![None],
            "" | "str" => values.iter().cloned().map(Some).collect(),
            _ => return Err("a parameter has a value, or is there, here".to_owned()),
        };
        for value in values {
            self.any.push(Conjunct {
                query: vec![(name.to_owned(), value)],
                ..Conjunct::default()
            });
        }
        Ok(())
    }

    fn bases(&mut self, matching: &str, values: &[String]) -> Result<(), String> {
        for value in values {
            let Some((host, path)) = value.split_once('/') else {
                return Err("a base is a host and a path here".to_owned());
            };
            self.path(matching, &format!("/{path}"))?;
            if let Some(last) = self.any.last_mut() {
                last.hosts = Some(vec![host.to_ascii_lowercase()]);
            }
        }
        Ok(())
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => name,
        Some(_) | None => host,
    }
}

/// Returns a field's name as it is mostly written.
fn titled(name: &str) -> String {
    let part = |part: &str| {
        let mut chars = part.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// Returns whether an expression is bound to the beginning and to the end, and its text, where it
/// stands for one text alone.
fn literal(pattern: &str) -> Option<(bool, bool, String)> {
    let (begins, rest) = pattern
        .strip_prefix('^')
        .map_or((false, pattern), |p| (true, p));
    let (ends, rest) = rest.strip_suffix('$').map_or((false, rest), |p| (true, p));
    let rest = if ends {
        rest
    } else {
        [".*", "(.*)", ".+", "(.+)"]
            .iter()
            .find_map(|any| rest.strip_suffix(any))
            .unwrap_or(rest)
    };
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c if c.is_ascii_alphanumeric() => return None,
                c => text.push(c),
            },
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            c => text.push(c),
        }
    }
    (!text.is_empty()).then_some((begins, ends, text))
}

const WHOLE_SEGMENTS: &str = "a path is compared by whole segments here: /a has /a/b, and not /ab";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_stand_for_one_text_are_texts() {
        assert_eq!(literal("^/api/"), Some((true, false, "/api/".into())));
        assert_eq!(literal("^/api/.*"), Some((true, false, "/api/".into())));
        assert_eq!(
            literal("^a\\.example\\.org$"),
            Some((true, true, "a.example.org".into()))
        );
        assert_eq!(literal("^\\/a\\/(.+)"), Some((true, false, "/a/".into())));
        for no in ["^/a[0-9]", "a|b", "^\\d", "", "^$", "\\"] {
            assert_eq!(literal(no), None, "{no}");
        }
    }

    #[test]
    fn fetches_are_divided_from_converters() {
        assert_eq!(
            split_fetch("req.hdr(host),lower,field(1,:)"),
            ("req.hdr(host)", vec!["lower", "field(1,:)"])
        );
        assert_eq!(method_of("path_beg"), ("path", "beg"));
        assert_eq!(method_of("hdr_dom"), ("hdr", "dom"));
        assert_eq!(method_of("ssl_fc"), ("ssl_fc", ""));
    }
}
