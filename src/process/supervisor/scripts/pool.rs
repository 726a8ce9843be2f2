//! Keepers that run one program after another, taken and given back, so that a run costs little.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::keeper;
use super::run::{Ended, Job, KEEPER_SPARE, is_shortage};
use crate::process::role::{self, ProgramUser};

/// The keepers of one user's programs.
#[derive(Default)]
pub(super) struct Keepers {
    idle: RefCell<Vec<Keeper>>,
}

/// A keeper; it ends with this, and with it what it runs.
struct Keeper {
    requests: ChildStdin,
    answers: ChildStdout,
    /// Reaped in the background when it has ended.
    _process: Child,
}

impl Keepers {
    /// Runs a program; one more keeper is made where none is idle.
    pub(super) async fn execute(&self, job: &Job<'_>) -> Ended {
        let request = match request(job) {
            Ok(request) => request,
            Err(error) => return Ended::Unrunnable(error),
        };
        let idle = self.idle.borrow_mut().pop();
        let mut keeper = match idle.map_or_else(|| Keeper::start(job.user), Ok) {
            Ok(keeper) => keeper,
            Err(error) if is_shortage(&error) => return Ended::Short(error),
            Err(error) => return Ended::Unrunnable(error),
        };
        let asked = keeper.ask(&request);
        match tokio::time::timeout(job.limit + KEEPER_SPARE, asked).await {
            Ok(Ok(answer)) => {
                let mut idle = self.idle.borrow_mut();
                if idle.len() < IDLE_MAX {
                    idle.push(keeper);
                }
                ended(answer, job.limit)
            }
            // The keeper goes, and what it runs with it.
            Ok(Err(error)) => Ended::Unrunnable(error),
            // Silence beyond the time of the program is the keeper's own.
            Err(_) => Ended::Unrunnable(io::Error::other("its keeper does not answer")),
        }
    }
}

impl Keeper {
    fn start(user: &ProgramUser) -> io::Result<Self> {
        // It executes nothing; the name is for nobody.
        let mut command = std::process::Command::new("evenkeel-keeper");
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What a terminal or a service manager tells the daemon is not for it.
            .process_group(0);
        role::run_unprivileged(&mut command, user);
        keeper::serve(&mut command);
        let mut process = Command::from(command).kill_on_drop(true).spawn()?;
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Self {
            requests: process.stdin.take().ok_or_else(gone)?,
            answers: process.stdout.take().ok_or_else(gone)?,
            _process: process,
        })
    }

    async fn ask(&mut self, request: &[u8]) -> io::Result<[u8; keeper::ANSWER_BYTES]> {
        self.requests.write_all(request).await?;
        let mut answer = [0; keeper::ANSWER_BYTES];
        self.answers.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// Puts a request together: see `keeper::serve`.
fn request(job: &Job<'_>) -> io::Result<Vec<u8>> {
    let arguments = job.arguments.iter().map(|word| OsStr::new(word.as_str()));
    let words = [job.resolved, job.program].map(Path::as_os_str);
    let words: Vec<&OsStr> = words.into_iter().chain(arguments).collect();
    let mut request = vec![0; keeper::REQUEST_HEAD_BYTES];
    for word in &words {
        if word.as_bytes().contains(&0) {
            return Err(io::Error::other("a word of the command has a zero byte"));
        }
        request.extend_from_slice(word.as_bytes());
        request.push(0);
    }
    let len = request.len() - keeper::REQUEST_HEAD_BYTES;
    if len > keeper::WORDS_BYTES_MAX || words.len() > keeper::WORDS_MAX {
        return Err(io::Error::other("the command is too long"));
    }
    let limit_ms = u64::try_from(job.limit.as_millis()).unwrap_or(u64::MAX);
    request[..8].copy_from_slice(&limit_ms.to_ne_bytes());
    request[8..16].copy_from_slice(&(len as u64).to_ne_bytes());
    Ok(request)
}

fn ended(answer: [u8; keeper::ANSWER_BYTES], limit: Duration) -> Ended {
    let [a, b, c, d, e, f, g, h] = answer;
    let kind = u32::from_ne_bytes([a, b, c, d]);
    let number = i32::from_ne_bytes([e, f, g, h]);
    match (kind, number) {
        (keeper::ENDED, 0) => Ended::Success,
        (keeper::ENDED, code) => Ended::Failure(format!("exit status: {code}")),
        (keeper::SIGNALLED, signal) => {
            let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
            Ended::Failure(format!("signal: {signal} ({name})"))
        }
        (keeper::TIMED_OUT, _) => Ended::TimedOut(limit),
        (keeper::STOPPED, _) => Ended::Unrunnable(io::Error::other("its keeper was told to stop")),
        (_, errno) => {
            let error = io::Error::from_raw_os_error(errno);
            match is_shortage(&error) {
                true => Ended::Short(error),
                false => Ended::Unrunnable(error),
            }
        }
    }
}

/// Keepers that wait for work; further ones end.
const IDLE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::*;

    /// Runs scripts one after another, each with the directory as its argument.
    fn run(keepers: &Keepers, directory: &Path, scripts: &[&str], limit: Duration) -> Vec<String> {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o1777)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let user = ProgramUser::of_track_scripts("evenkeel-script");
        let run = async |script: &&str| {
            let arguments = ["-c", script, "it", directory.to_str().unwrap()];
            let arguments = arguments.map(str::to_owned);
            let job = Job {
                program: Path::new("/bin/sh"),
                resolved: Path::new("/bin/sh"),
                arguments: &arguments,
                user: &user,
                limit,
            };
            format!("{:?}", keepers.execute(&job).await)
        };
        runtime.block_on(async {
            let mut said = Vec::new();
            for script in scripts {
                said.push(run(script).await);
            }
            said
        })
    }

    #[test]
    fn ends_are_told_one_after_another() {
        let directory = tempfile::tempdir().unwrap();
        let said = run(
            &Keepers::default(),
            directory.path(),
            &["exit 0", "exit 3", "kill -TERM $$", "sleep 60", "exit 0"],
            Duration::from_millis(500),
        );
        let hoped = [
            "Success",
            "Failure(\"exit status: 3\")",
            "Failure(\"signal: 15 (SIGTERM)\")",
            "TimedOut(500ms)",
            "Success",
        ];
        assert_eq!(said, hoped);
    }

    #[test]
    fn nothing_is_left_of_a_run_in_any_session() {
        let directory = tempfile::tempdir().unwrap();
        let script = "cd $1; sleep 600 & echo $! > child\n\
             setsid sh -c 'echo $$ > session; exec sleep 600' &\n\
             sh -c 'setsid sh -c \"echo \\$\\$ > orphan; exec sleep 600\" &'\n\
             while [ ! -s session ] || [ ! -s orphan ]; do sleep 0.01; done\n";
        for (last, hoped) in [("exit 0", "Success"), ("wait", "TimedOut(2s)")] {
            let script = format!("{script}{last}");
            let said = run(
                &Keepers::default(),
                directory.path(),
                &[&script],
                Duration::from_secs(2),
            );
            assert_eq!(said, [hoped]);
            let deadline = Instant::now() + Duration::from_secs(5);
            for file in ["child", "session", "orphan"] {
                let path = directory.path().join(file);
                let pid = fs::read_to_string(&path).unwrap();
                let stat = format!("/proc/{}/stat", pid.trim());
                while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
                    assert!(Instant::now() < deadline, "{file} lives on");
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                fs::remove_file(path).unwrap();
            }
        }
    }

    #[test]
    fn a_program_has_no_right_and_no_descriptor_of_ours_and_no_signal_blocked() {
        let directory = tempfile::tempdir().unwrap();
        let script = "cd $1; { grep -E '^(Cap(Inh|Prm|Eff|Amb)|SigBlk|NoNewPrivs)' \
                      /proc/self/status; ls -l /proc/self/fd; env; } > out";
        let limit = Duration::from_secs(10);
        let said = run(&Keepers::default(), directory.path(), &[script], limit);
        assert_eq!(said, ["Success"]);
        let told = fs::read_to_string(directory.path().join("out")).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk"] {
            let none = format!("{set}:\t0000000000000000");
            assert!(told.contains(&none), "{told}");
        }
        assert!(told.contains("NoNewPrivs:\t1"), "{told}");
        assert!(
            told.contains("PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
            "{told}"
        );
        let others = told.lines().filter(|line| line.contains("->"));
        let own = ["/dev/null", "/out", "/proc/"];
        let others: Vec<&str> = others
            .filter(|line| !own.iter().any(|own| line.contains(own)))
            .collect();
        assert_eq!(others, [""; 0], "{told}");
    }

    #[test]
    fn what_cannot_be_started_is_no_verdict() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let user = ProgramUser::of_track_scripts("evenkeel-script");
        let keepers = Keepers::default();
        let long = vec!["a".repeat(keeper::WORDS_BYTES_MAX)];
        for (path, arguments) in [("/nowhere/at/all", &[][..]), ("/", &[]), ("/bin/sh", &long)] {
            let job = Job {
                program: Path::new(path),
                resolved: Path::new(path),
                arguments,
                user: &user,
                limit: Duration::from_secs(5),
            };
            let ended = runtime.block_on(keepers.execute(&job));
            assert!(matches!(ended, Ended::Unrunnable(_)), "{path}: {ended:?}");
        }
    }
}
