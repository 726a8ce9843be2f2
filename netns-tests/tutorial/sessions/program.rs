//! Debian's curl with a cookie jar, and its openssl with a session of TLS that it resumes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use evenkeel::lab::namespace::host::Host;

use super::browser::SESSION_COOKIE;
use super::journal::{Lost, Page};
use crate::clients::https::site::NAME;

/// One cookie jar; each request is a curl of its own, the first by plain HTTP as people type it.
pub(super) struct Curl {
    jar: PathBuf,
    authority: PathBuf,
    address: String,
    has_been_here: bool,
}

/// Visits with one session of TLS and one of the application.
pub(super) struct Openssl {
    authority: PathBuf,
    session: PathBuf,
    address: String,
    cookies: String,
    last: Option<Page>,
}

impl Curl {
    /// Returns one whose jar is in this directory, where the authority's certificate is.
    pub(super) fn new(directory: &Path, number: usize, address: &str) -> Self {
        Self {
            jar: directory.join(format!("jar{number}")),
            authority: directory.join("ca.pem"),
            address: address.to_owned(),
            has_been_here: false,
        }
    }

    /// Asks once.
    pub(super) fn ask(&mut self) -> Result<Page, Lost> {
        let scheme = if self.has_been_here { "https" } else { "http" };
        let mut command = command("curl");
        command
            .args([
                "-q",
                "-sS",
                "-L",
                "--connect-timeout",
                "2",
                "--max-time",
                "5",
            ])
            .arg("--cacert")
            .arg(&self.authority)
            .arg("-b")
            .arg(&self.jar)
            .arg("-c")
            .arg(&self.jar)
            .args(["-w", "%{http_code} %{num_redirects}"])
            .args(["--resolve", &format!("{NAME}:80:{}", self.address)])
            .args(["--resolve", &format!("{NAME}:443:{}", self.address)])
            .arg(format!("{scheme}://{NAME}/counter"));
        let output = command.output().expect("curl starts");
        let said = text(&output);
        match output.status.code() {
            Some(0) => {}
            Some(CONNECT_FAILED | HANDSHAKE_FAILED) => return Err(Lost::NotConnected(said)),
            Some(_) | None => return Err(Lost::Failed(said)),
        }
        let (body, rest) = said.split_once('\n').unwrap_or((&said, ""));
        if rest.starts_with('5') {
            return Err(Lost::Failed(said));
        }
        let hoped = if self.has_been_here { "200 0" } else { "200 1" };
        let page = Page::parse(body).filter(|_| rest == hoped);
        self.has_been_here |= page.is_some();
        page.ok_or(Lost::Wrong(said))
    }
}

impl Openssl {
    /// Begins both sessions.
    pub(super) fn begin(host: &Host, directory: &Path, address: &str) -> Self {
        let mut openssl = Self {
            authority: directory.join("ca.pem"),
            session: directory.join("session"),
            address: address.to_owned(),
            cookies: String::new(),
            last: None,
        };
        let said = openssl.run(host, "-sess_out");
        assert!(said.contains("New, TLSv1.3"), "{said}");
        let cookies: Vec<&str> = said
            .lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_cookie = name.eq_ignore_ascii_case("set-cookie");
                is_cookie.then(|| value.split(';').next())?
            })
            .collect();
        assert_eq!(cookies.len(), 2, "the application's and ours: {said}");
        openssl.cookies = format!("Cookie: {}\r\n", cookies.join("; "));
        openssl.last = page(&said);
        let first = openssl.last.as_ref();
        let is_hers = |it: &Page| {
            it.count == 1 && cookies.contains(&&*format!("{SESSION_COOKIE}={}", it.session))
        };
        assert!(first.is_some_and(is_hers), "{said}");
        openssl
    }

    /// Comes again: the session of TLS is resumed, that of the application goes on where it was.
    pub(super) fn comes_again(&mut self, host: &Host) {
        let said = self.run(host, "-sess_in");
        assert!(said.contains("Reused, TLSv1.3"), "{said}");
        let hoped = self.last.take().map(|last| Page {
            count: last.count + 1,
            ..last
        });
        self.last = page(&said);
        assert_eq!(self.last, hoped, "{said}");
    }

    fn run(&self, host: &Host, what: &str) -> String {
        // By HTTP/1.0 the body has no chunks, and the connection ends with it.
        let line = r#"printf "GET /counter HTTP/1.0\r\nHost: $1\r\n$2\r\n" |
                      timeout 10 openssl s_client -connect "$3:443" -servername "$1" -CAfile "$4" \
                          -verify_return_error -ign_eof "$5" "$6" 2>&1"#;
        let mut command = command("sh");
        command
            .args(["-c", line, "sh", NAME, &self.cookies, &self.address])
            .arg(&self.authority)
            .arg(what)
            .arg(&self.session);
        let output = host
            .try_run("run openssl", move || command.output())
            .unwrap_or_else(|error| panic!("{error}"));
        text(&output)
    }
}

/// Returns how to start a program without this machine's settings.
fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8");
    command
}

fn text(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Finds the application's answer in what openssl prints.
fn page(said: &str) -> Option<Page> {
    let (_, rest) = said.split_once("HTTP/1.1 200 ")?;
    let (_, rest) = rest.split_once("\r\n\r\n")?;
    // What openssl says at the end comes right behind it.
    Page::parse(rest.lines().next()?)
}

/// Exit codes of curl.
const CONNECT_FAILED: i32 = 7;
const HANDSHAKE_FAILED: i32 = 35;
