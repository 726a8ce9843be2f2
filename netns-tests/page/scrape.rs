//! The metrics as a real Prometheus has them, and the alerts and the dashboard that come with us.
//!
//! An expression that answers nothing in the file of an operator's says nothing, for ever: each
//! must have data. That of an alert is a value and a threshold at its end, and answers nothing
//! while all is well; it is asked without the threshold too, and then it must answer.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::Value;

use super::nodes::{Nodes, admin};
use super::program;
use super::wire::{self, Answer, Request};

#[test]
fn prometheus_scrapes_a_pair_and_every_expression_has_data() {
    let nodes = Nodes::start(0);
    let mut prometheus = Prometheus::start(&nodes.client);
    has_the_format_that_is_asked_for(&nodes.client);
    promtool_finds_nothing(&nodes.client);
    // An answer of each kind, so that there is something to divide.
    let sorry = wire::ask(&nodes.client, VIRTUAL, &Request::get("/sorry")).unwrap();
    assert_eq!(sorry.status, 503);
    prometheus.wait("both nodes are scraped, more than once", |it| {
        it.values("count_over_time(up[1m]) > 3 and up == 1").len() == 2
            && it
                .values("rate(evenkeel_request_duration_seconds_bucket[1m])")
                .len()
                > 10
    });
    let targets = prometheus.api("targets");
    for target in targets["activeTargets"].as_array().unwrap() {
        assert_eq!(target["lastError"], "", "{target}");
    }
    let alerts = prometheus.alerts();
    let text = example("prometheus-alerts.yaml");
    assert_eq!(
        alerts.len(),
        text.matches("- alert: ").count(),
        "{alerts:?}"
    );
    for (name, expression) in alerts {
        let value = without_threshold(&expression);
        let values = prometheus.values(&value);
        assert!(!values.is_empty(), "{name}: no data for {value}");
        // Of these a lab is full: the machine of a test is no machine of an operator's.
        if name != "EvenkeelWarnings" {
            assert_eq!(
                prometheus.values(&expression),
                [""; 0],
                "{name}: all is well"
            );
        }
    }
    let dashboard: Value = serde_json::from_str(&example("grafana-dashboard.json")).unwrap();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 25, "{expressions:?}");
    for expression in expressions {
        let values = prometheus.values(&expression);
        assert!(!values.is_empty(), "no data for {expression}");
    }
}

#[test]
fn promtool_finds_nothing_in_the_rules() {
    let rules =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/prometheus-alerts.yaml");
    let mut command = program::command("/usr/bin/promtool", "prometheus");
    let output = command
        .args(["check", "rules"])
        .arg(rules)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Every panel has the data source of its variable, and every variable is asked for something that
/// there is.
#[test]
fn dashboard_comes_with_a_variable_for_its_data_source() {
    let dashboard: Value = serde_json::from_str(&example("grafana-dashboard.json")).unwrap();
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    assert!(
        dashboard["schemaVersion"].as_u64() >= Some(36),
        "Grafana 10 and later"
    );
    assert!(dashboard.get("id").is_none(), "it is imported as a new one");
    for panel in dashboard["panels"].as_array().unwrap() {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
}

fn promtool_finds_nothing(client: &Host) {
    let metrics = metrics(client, "").body;
    let scratch = ScratchDir::new().unwrap();
    let path = scratch.path().join("metrics");
    fs::write(&path, metrics).unwrap();
    let mut command = program::command("/usr/bin/promtool", "prometheus");
    command
        .args(["check", "metrics"])
        .stdin(fs::File::open(path).unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{output:?}");
}

fn has_the_format_that_is_asked_for(client: &Host) {
    for (accept, ends) in [
        ("application/openmetrics-text; version=1.0.0", true),
        ("*/*", false),
    ] {
        let answer = metrics(client, &format!("Accept: {accept}\r\n"));
        assert_eq!(answer.body.ends_with("# EOF\n"), ends, "{accept}");
    }
}

fn metrics(client: &Host, fields: &str) -> Answer {
    let request = Request {
        fields,
        ..Request::get("/metrics")
    };
    let answer = wire::ask(client, admin(0), &request).unwrap();
    assert_eq!(answer.status, 200);
    answer
}

/// A running Prometheus that scrapes both nodes every half second.
struct Prometheus {
    host: Arc<Host>,
    process: Process,
    _scratch: ScratchDir,
}

impl Prometheus {
    fn start(host: &Arc<Host>) -> Self {
        let scratch = ScratchDir::new().unwrap();
        let rules = scratch.path().join("prometheus-alerts.yaml");
        fs::write(&rules, example("prometheus-alerts.yaml")).unwrap();
        let config = scratch.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}\n\
             rule_files: [\"{}\"]\nscrape_configs:\n  - job_name: evenkeel\n    static_configs: \
             [{{targets: [\"{}\", \"{}\"]}}]\n",
            rules.display(),
            admin(0),
            admin(1)
        );
        fs::write(&config, text).unwrap();
        let mut command = program::command("/usr/bin/prometheus", "prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={SERVER}"))
            .current_dir(scratch.path());
        Self {
            host: Arc::clone(host),
            process: host.spawn(command).unwrap(),
            _scratch: scratch,
        }
    }

    fn wait(&mut self, what: &str, hoped: impl Fn(&Self) -> bool) {
        let is_ready = |it: &Self| {
            let answer = wire::ask(&it.host, SERVER, &Request::get("/-/ready"));
            answer.is_some_and(|answer| answer.status == 200)
        };
        let deadline = Instant::now() + PATIENCE;
        while !(is_ready(self) && hoped(self)) {
            self.process.check_runs().unwrap();
            assert!(Instant::now() < deadline, "{what}\n{}", self.process.log());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the data of an answer of its API.
    fn api(&self, path: &str) -> Value {
        let path = format!("/api/v1/{path}");
        let answer = wire::ask(&self.host, SERVER, &Request::get(&path)).unwrap();
        let mut json = answer.json();
        assert_eq!(json["status"], "success", "{path}: {json}");
        json["data"].take()
    }

    /// Returns what an expression answers, a text for each set of labels; what is no number is
    /// none.
    fn values(&self, expression: &str) -> Vec<String> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let data = self.api(&format!("query?query={query}"));
        let values = data["result"].as_array().unwrap().iter();
        let numbers = values.filter(|it| it["value"][1] != "NaN");
        numbers.map(Value::to_string).collect()
    }

    /// Returns the names and expressions of the alerts, as it has read them.
    fn alerts(&self) -> Vec<(String, String)> {
        let rules = self.api("rules");
        let groups = rules["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rules
            .map(|rule| {
                assert!(rule["lastError"].is_null(), "{rule}");
                (text(&rule["name"]), text(&rule["query"]))
            })
            .collect()
    }
}

/// Returns an expression without the comparison at its end.
fn without_threshold(expression: &str) -> String {
    let (rest, number) = expression.rsplit_once(' ').unwrap();
    let (value, sign) = rest.rsplit_once(' ').unwrap();
    assert!(
        ["<", ">"].contains(&sign),
        "a threshold at the end: {expression}"
    );
    assert!(number.parse::<f64>().is_ok(), "{expression}");
    value.to_owned()
}

/// Returns all expressions below here, with what Grafana fills in for its variables; of a question
/// for the values of a label that for the metric.
fn expressions(json: &Value) -> Vec<String> {
    let mut all = Vec::new();
    match json {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value.as_str()) {
                    ("expr", Some(expression)) => all.push(filled_in(expression)),
                    ("definition", Some(definition)) => {
                        let inner = definition.strip_prefix("label_values(").unwrap();
                        let (metric, _) = inner.rsplit_once(", ").unwrap();
                        all.push(filled_in(metric));
                    }
                    _ => all.extend(expressions(value)),
                }
            }
        }
        Value::Array(values) => all.extend(values.iter().flat_map(expressions)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

fn filled_in(expression: &str) -> String {
    let filled = expression
        .replace("$__rate_interval", "1m")
        .replace("$job", ".*")
        .replace("$instance", ".*");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    fs::read_to_string(path.join(name)).unwrap()
}

/// On the loopback of its host.
const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);
const VIRTUAL: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100)),
    80,
);
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
