//! `global`: what others need of it, and what becomes of the proxy as a whole.

use super::sections::Section;
use crate::cli::import::draft::Draft;
use crate::cli::import::remarks::Remarks;
use crate::cli::import::units::{duration, time};
use crate::cli::import::yaml::Yaml;

/// What other sections need to know.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    ca_base: Option<String>,
    crt_base: Option<String>,
    /// `ssl-server-verify`.
    pub server_verify: Option<String>,
    /// Whether binds speak TLS 1.3 alone.
    pub tls13: bool,
}

impl Globals {
    /// Reads the sections, and writes what is of the proxy.
    pub fn read(sections: &[Section], draft: &mut Draft, remarks: &mut Remarks) -> Self {
        let mut globals = Self::default();
        let lines = sections.iter().filter(|section| section.kind == "global");
        for line in lines.flat_map(|section| &section.own) {
            let value = line.word(1);
            match line.word(0) {
                "ca-base" => globals.ca_base = Some(value.to_owned()),
                "crt-base" => globals.crt_base = Some(value.to_owned()),
                "ssl-server-verify" => globals.server_verify = Some(value.to_owned()),
                "ssl-default-bind-options" => {
                    globals.tls13 |= line.words.iter().any(|word| word == "TLSv1.3")
                        && line.words.iter().any(|word| word == "ssl-min-ver");
                }
                "nbthread" => {
                    if let Ok(threads) = value.parse::<u64>() {
                        draft
                            .proxy
                            .set("threads", Yaml::word(threads.clamp(1, 250)));
                    }
                }
                "maxconn" => {
                    if let Ok(most) = value.parse::<u64>() {
                        let most = Yaml::word(most.clamp(1, 10_000_000));
                        draft.proxy.map("limits").set("connections", most);
                    }
                }
                "hard-stop-after" => {
                    if let Some(ms) = time(value, 1) {
                        if ms > 30_000 {
                            remarks.otherwise(line, "a drain takes 30s at most here");
                        }
                        let drain = Yaml::text(duration(ms.clamp(1, 30_000)));
                        draft.proxy.map("timeouts").set("drain", drain);
                    }
                }
                _ => {}
            }
        }
        globals
    }

    /// Returns the path of a certificate.
    pub fn crt_path(&self, path: &str) -> String {
        based(self.crt_base.as_deref(), path)
    }

    /// Returns the path of authorities.
    pub fn ca_path(&self, path: &str) -> String {
        based(self.ca_base.as_deref(), path)
    }
}

fn based(base: Option<&str>, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let base = base.unwrap_or("/etc/haproxy");
    format!("{}/{path}", base.trim_end_matches('/'))
}
