//! A browser without a head, led through chromedriver.
//!
//! Both are one family of processes, which is killed by process id when the browser is dropped, and
//! chromedriver at the latest with the test itself; the browser talks to it over a pipe and ends
//! when that does. Its profile is a directory that goes with it.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::lab::namespace::host::Host;
use evenkeel::lab::process::Process;
use evenkeel::lab::scratch::ScratchDir;
use serde_json::{Value, json};

use super::program;
use super::wire::{self, Request};

/// A session of a browser.
pub(super) struct Browser {
    host: Arc<Host>,
    session: String,
    // In the order of their ends: who has the profile open, and the profile.
    driver: Process,
    profile: ScratchDir,
}

/// Light or dark, as a visitor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub(super) const ALL: [Self; 2] = [Self::Light, Self::Dark];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// Starts one on a host.
    pub(super) fn start(host: &Arc<Host>) -> Self {
        program::require("/usr/bin/chromium", "chromium");
        let profile = ScratchDir::new().unwrap();
        let mut command = program::command("/usr/bin/chromedriver", "chromium-driver");
        command
            .arg(format!("--port={}", DRIVER.port()))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path());
        let driver = host.spawn(command).unwrap();
        let mut browser = Self {
            host: Arc::clone(host),
            session: String::new(),
            driver,
            profile,
        };
        browser.wait("chromedriver answers", |browser| {
            let answer = wire::ask(&browser.host, DRIVER, &Request::get("/status"));
            answer.is_some_and(|answer| answer.json()["value"]["ready"] == true)
        });
        let wanted = browser.wanted();
        let made = browser.command("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// Returns the capabilities of the session.
    fn wanted(&self) -> Value {
        let profile = self.profile.path().join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--disable-breakpad",
            "--no-first-run",
            "--no-proxy-server",
            "--remote-debugging-pipe",
            "--hide-scrollbars",
            "--lang=en",
            &format!("--user-data-dir={}", profile.display()),
        ];
        json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments},
        }}})
    }

    /// Goes to a page and waits until it is loaded.
    pub(super) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({"url": url}));
    }

    /// Opens another tab and goes on there; returns what leads back.
    pub(super) fn open_tab(&self) -> Value {
        let before = self.ask("GET", "/window", &Value::Null);
        let made = self.ask("POST", "/window/new", &json!({"type": "window"}));
        self.switch_to(&made["handle"]);
        before
    }

    pub(super) fn switch_to(&self, handle: &Value) {
        self.ask("POST", "/window", &json!({"handle": handle}));
    }

    /// Returns what the body of a function returns in the page.
    pub(super) fn run(&self, script: &str) -> Value {
        let what = json!({"script": script, "args": []});
        self.ask("POST", "/execute/sync", &what)
    }

    /// Returns what the body of a function hands to `done`.
    pub(super) fn run_async(&self, script: &str) -> Value {
        self.ask("POST", "/timeouts", &json!({"script": SCRIPT_TIMEOUT_MS}));
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.ask(
            "POST",
            "/execute/async",
            &json!({"script": script, "args": []}),
        )
    }

    /// Waits until the body of a function returns true in the page.
    pub(super) fn wait_until(&mut self, what: &str, script: &str) {
        self.wait(what, |browser| browser.run(script) == true);
    }

    /// Presses a key where the focus is.
    pub(super) fn press(&self, key: &str) {
        let actions = ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.ask("POST", "/actions", &json!({"actions": [keyboard]}));
    }

    /// Returns what a command of the DevTools protocol answers.
    pub(super) fn devtools(&self, command: &str, parameters: Value) -> Value {
        let what = json!({"cmd": command, "params": parameters});
        self.ask("POST", "/goog/cdp/execute", &what)
    }

    /// Has the page be so wide, and a visitor prefer light or dark.
    pub(super) fn look(&self, width: u32, scheme: Scheme) {
        let height = if width < 600 { 844 } else { 900 };
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
        let feature = json!({"name": "prefers-color-scheme", "value": scheme.word()});
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// Returns what the console has said since it was last asked: errors of scripts, what the
    /// policy of the page forbids, what could not be loaded.
    pub(super) fn console(&self) -> Vec<String> {
        let lines = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let lines = lines.as_array().unwrap().iter();
        lines.map(Value::to_string).collect()
    }

    /// Keeps a picture of the whole page, up to a height, and says where.
    pub(super) fn keep_picture(&self, name: &str) -> PathBuf {
        let size = self.run(
            "const all = document.documentElement; return [all.clientWidth, all.scrollHeight]",
        );
        let height = size[1].as_u64().unwrap().min(PICTURE_HEIGHT_MAX);
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1});
        let answer = self.devtools(
            "Page.captureScreenshot",
            json!({"format": "png", "captureBeyondViewport": true, "clip": clip}),
        );
        let folder = target().join("page-screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, wire::from_base64(answer["data"].as_str().unwrap())).unwrap();
        println!("{}", path.display());
        path
    }

    fn ask(&self, method: &str, path: &str, what: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.command(method, &path, what)
    }

    /// Returns the value of an answer of chromedriver's that is no error.
    fn command(&self, method: &str, path: &str, what: &Value) -> Value {
        let body = if what.is_null() {
            String::new()
        } else {
            what.to_string()
        };
        let request = Request {
            method,
            path,
            fields: "",
            body: &body,
        };
        let answer = wire::ask(&self.host, DRIVER, &request);
        let answer = answer
            .unwrap_or_else(|| panic!("{path}: chromedriver is silent\n{}", self.driver.log()));
        assert_eq!(answer.status, 200, "{path} {what}: {}", answer.body);
        answer.json()["value"].take()
    }

    fn wait(&mut self, what: &str, hoped: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !hoped(self) {
            self.driver.check_runs().unwrap();
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // What the browser has started may have left the family: it ends them itself.
        let path = format!("/session/{}", self.session);
        let request = Request {
            method: "DELETE",
            ..Request::get(&path)
        };
        if !std::thread::panicking() {
            let _ = wire::ask(&self.host, DRIVER, &request);
        }
    }
}

/// Returns the target directory of cargo.
fn target() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_evenkeel"));
    let found = binary.ancestors().nth(2).expect("target/PROFILE/evenkeel");
    found.to_owned()
}

/// On the loopback of its host.
const DRIVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9515);
/// A browser makes no picture that is higher.
const PICTURE_HEIGHT_MAX: u64 = 4_000;
/// For axe-core and hundreds of virtual routers, on a busy machine.
const SCRIPT_TIMEOUT_MS: u64 = 120_000;
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
