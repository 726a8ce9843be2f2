//! Perlbal's configuration is a list of console commands; this reads them into pools and services.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cli::import::keepalived::Given;
use crate::cli::import::reading::{Files, expand};
use crate::cli::import::remarks::{Line, Place, Remarks};

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where it is created.
    pub line: Line,
    /// `POOL name ADD`: addresses with ports.
    pub nodes: Vec<(String, Line)>,
    /// `SET nodefile`.
    pub node_file: Option<String>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it is created.
    pub line: Line,
    /// `SET key = value`, in order.
    pub settings: Vec<(String, String, Line)>,
    /// Whether `ENABLE` was said, and not taken back.
    pub enabled: bool,
    /// `VHOST host = service`.
    pub hosts: Vec<(String, String, Line)>,
    /// `HEADER INSERT` with a value, `HEADER REMOVE` without.
    pub headers: Vec<(String, Option<String>)>,
}

impl Service {
    /// Returns the last value of a setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        let settings = self.settings.iter().rev();
        settings
            .into_iter()
            .find(|(known, _, _)| known == key)
            .map(|(_, value, _)| value.as_str())
    }
}

/// All that a file says.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    /// In order.
    pub pools: Vec<Pool>,
    /// In order.
    pub services: Vec<Service>,
    defaults: Vec<(String, String, Line)>,
    /// What commands without a name are about.
    current: Current,
}

#[derive(Clone, Debug, Default)]
enum Current {
    #[default]
    Nothing,
    Pool(String),
    Service(String),
}

impl Commands {
    /// Reads a file, and those that it includes.
    pub fn read(files: &dyn Files, given: &Given, remarks: &mut Remarks) -> Self {
        let mut commands = Self::default();
        commands.file(files, &given.path, &given.text, 0, remarks);
        commands
    }

    fn file(
        &mut self,
        files: &dyn Files,
        path: &Path,
        text: &str,
        depth: usize,
        remarks: &mut Remarks,
    ) {
        let name: Rc<str> = path.to_string_lossy().into();
        for (index, raw) in text.lines().enumerate() {
            let shown = raw.split('#').next().unwrap_or("").trim();
            // `a=b` and `a = b` are the same.
            let spaced = shown.replace('=', " = ");
            let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
            let line = Line {
                place: Place {
                    file: Rc::clone(&name),
                    line: index + 1,
                },
                words,
                text: shown.to_owned(),
            };
            match line.word(0).to_ascii_uppercase().as_str() {
                "" => {}
                "INCLUDE" if depth < 8 => {
                    let pattern = line.words.last().cloned().unwrap_or_default();
                    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                    let found: Vec<PathBuf> = expand(files, &folder, &pattern);
                    if found.is_empty() {
                        remarks.lost(&line, "there is no such file here");
                    }
                    for file in found {
                        match files.read(&file) {
                            Ok(text) => self.file(files, &file, &text, depth + 1, remarks),
                            Err(error) => {
                                let why = format!("{} cannot be read: {error}", file.display());
                                remarks.lost(&line, why);
                            }
                        }
                    }
                }
                word => self.take(word, line, remarks),
            }
        }
    }

    fn take(&mut self, word: &str, line: Line, remarks: &mut Remarks) {
        match word {
            "CREATE" => self.create(line, remarks),
            "USE" => self.current = self.find(line.word(line.words.len().saturating_sub(1))),
            "SET" => self.set(line, remarks),
            "DEFAULT" => {
                if let Some((key, value)) = assignment(line.from(1)) {
                    self.defaults.push((key, value, line));
                }
            }
            "POOL" => self.pool_command(line, remarks),
            "ENABLE" | "DISABLE" => {
                let name = line.word(1).to_owned();
                match self.service(&name) {
                    Some(service) => service.enabled = word == "ENABLE",
                    None => remarks.no_effect(&line, format!("there is no service {name}")),
                }
            }
            "VHOST" => self.vhost(line, remarks),
            "HEADER" => self.header(line, remarks),
            "LOAD" | "UNLOAD" => {
                let plugin = line.word(1).to_ascii_lowercase();
                if !["vhosts", "xffextras", "maxcontentlength", "include"]
                    .contains(&plugin.as_str())
                {
                    remarks.lost(&line, format!("there is no plugin {plugin} here"));
                }
            }
            "SERVER" => remarks.otherwise(&line, "it is about Perlbal's own process"),
            "XS" | "VERBOSE" | "PROF" => remarks.otherwise(&line, "it is about Perlbal itself"),
            "PLUGINS" => {}
            "VPATH" | "ACCESS" => {
                let why = "rules of Perlbal's plugins are not read: see `routes`";
                remarks.lost(&line, why);
            }
            _ => remarks.lost(&line, "this command is not known to this import"),
        }
    }

    fn create(&mut self, line: Line, remarks: &mut Remarks) {
        let name = line.word(2).to_owned();
        match line.word(1).to_ascii_uppercase().as_str() {
            "POOL" => {
                self.current = Current::Pool(name.clone());
                let (nodes, node_file) = (Vec::new(), None);
                self.pools.push(Pool {
                    name,
                    line,
                    nodes,
                    node_file,
                });
            }
            "SERVICE" => {
                self.current = Current::Service(name.clone());
                self.services.push(Service {
                    name,
                    line,
                    settings: self.defaults.clone(),
                    enabled: false,
                    hosts: Vec::new(),
                    headers: Vec::new(),
                });
            }
            _ => remarks.lost(&line, "only pools and services are created"),
        }
    }

    fn set(&mut self, line: Line, remarks: &mut Remarks) {
        let Some((key, value)) = assignment(line.from(1)) else {
            remarks.lost(&line, "nothing is set");
            return;
        };
        // `SET name.key = value`, `SET name key = value`, or the one that is in use.
        let (target, key) = match key.rsplit_once([' ', '.']) {
            Some((name, key)) => (self.find(name), key.to_owned()),
            None => (self.current.clone(), key),
        };
        let key = key.to_ascii_lowercase();
        match target {
            Current::Pool(name) => {
                let pool = self.pools.iter_mut().rfind(|pool| pool.name == name);
                match (pool, key.as_str()) {
                    (Some(pool), "nodefile") => {
                        pool.node_file = (value != "none").then_some(value);
                    }
                    (Some(_), "balance_method") if value == "random" => {}
                    (Some(_), _) => remarks.no_effect(&line, "Perlbal refuses it"),
                    (None, _) => {}
                }
            }
            Current::Service(name) => {
                if let Some(service) = self.service(&name) {
                    service.settings.push((key, value, line));
                }
            }
            Current::Nothing => remarks.lost(&line, "nothing says what it is about"),
        }
    }

    fn pool_command(&mut self, line: Line, remarks: &mut Remarks) {
        let name = line.word(1).to_owned();
        let node = line.word(3);
        let node = if node.contains(':') {
            node.to_owned()
        } else {
            format!("{node}:80")
        };
        let action = line.word(2).to_ascii_uppercase();
        let pool = self.pools.iter_mut().rfind(|pool| pool.name == name);
        match (pool, action.as_str()) {
            (Some(pool), "ADD") => {
                pool.nodes.retain(|(known, _)| *known != node);
                pool.nodes.push((node, line));
            }
            (Some(pool), "REMOVE") => pool.nodes.retain(|(known, _)| *known != node),
            (Some(_), _) => remarks.lost(&line, "pools have nodes added and removed"),
            (None, _) => remarks.lost(&line, format!("there is no pool {name}")),
        }
    }

    fn vhost(&mut self, line: Line, remarks: &mut Remarks) {
        let rest = line.from(1);
        let Some(at) = rest.iter().position(|word| word == "=") else {
            remarks.lost(&line, "it is HOST = SERVICE");
            return;
        };
        let host = rest.get(at.wrapping_sub(1)).cloned().unwrap_or_default();
        let service = rest.get(at + 1).cloned().unwrap_or_default();
        let selector = match (at, &self.current) {
            (2, _) => rest.first().cloned(),
            (_, Current::Service(name)) => Some(name.clone()),
            (_, Current::Nothing | Current::Pool(_)) => None,
        };
        match selector.and_then(|name| self.service(&name)) {
            Some(selector) => selector.hosts.push((host, service, line)),
            None => remarks.lost(&line, "nothing says of which service it is"),
        }
    }

    fn header(&mut self, line: Line, remarks: &mut Remarks) {
        let mut rest = line.from(1);
        let mut name = match &self.current {
            Current::Service(name) => name.clone(),
            Current::Nothing | Current::Pool(_) => String::new(),
        };
        let is_action =
            |word: &String| ["INSERT", "REMOVE"].contains(&word.to_ascii_uppercase().as_str());
        if rest.first().is_some_and(|word| !is_action(word)) {
            rest[0].clone_into(&mut name);
            rest = &rest[1..];
        }
        let action = rest.first().map(|word| word.to_ascii_uppercase());
        let text = rest
            .get(1..)
            .unwrap_or_default()
            .join(" ")
            .replace(" = ", "=");
        let header = match action.as_deref() {
            Some("INSERT") => text
                .split_once(':')
                .map(|(field, value)| (field.trim().to_owned(), Some(value.trim().to_owned()))),
            Some("REMOVE") => Some((text, None)),
            Some(_) | None => None,
        };
        match (header, self.service(&name)) {
            (Some(header), Some(service)) => service.headers.push(header),
            (_, _) => remarks.lost(&line, "it is HEADER SERVICE INSERT NAME: VALUE"),
        }
    }

    fn find(&self, name: &str) -> Current {
        if self.services.iter().any(|service| service.name == name) {
            Current::Service(name.to_owned())
        } else if self.pools.iter().any(|pool| pool.name == name) {
            Current::Pool(name.to_owned())
        } else {
            Current::Nothing
        }
    }

    fn service(&mut self, name: &str) -> Option<&mut Service> {
        let mut services = self.services.iter_mut();
        services.rfind(|service| service.name == name)
    }
}

/// Returns what stands before and behind `=`; without it, the first word and the others.
fn assignment(words: &[String]) -> Option<(String, String)> {
    match words.iter().position(|word| word == "=") {
        Some(0) => None,
        Some(at) => Some((words[..at].join(" "), words[at + 1..].join(" "))),
        None => Some((words.first()?.clone(), words[1..].join(" "))),
    }
}
