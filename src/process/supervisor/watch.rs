//! Files and processes that virtual routers follow, each file on a thread of its own: a dead disk
//! keeps the thread, and nothing else.
//!
//! Files are read a few times a second, so that it does not matter how they are written. A process
//! is held by a pidfd, which says at once that it has ended; then another of the same name is
//! looked for in /proc, at once and every second, or its pidfile read again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use super::scripts::track::Observation;
use crate::config::{ProcessConfig, ProcessSelector};
use crate::logic::track::{Observed, Source};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// The number in a file.
    File(PathBuf),
    /// Whether a process is there.
    Process(ProcessConfig),
}

/// Starts the threads; each looks at a thing as long as that is alive, and ends with the last.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(
    watched: &[(Watched, Arc<()>)],
    observations: &mpsc::Sender<Observation>,
) -> io::Result<()> {
    let mut names = Watch::default();
    let mut watches = Vec::new();
    for (watched, alive) in watched {
        let wanted = Arc::downgrade(alive);
        match watched {
            Watched::File(path) => watches.push(Watch {
                files: vec![(WatchedFile::new(path.clone()), wanted)],
                ..Watch::default()
            }),
            Watched::Process(config) => {
                let process = (Process::new(config.clone()), wanted);
                match config.selector {
                    ProcessSelector::Name(_) => names.processes.push(process),
                    ProcessSelector::Pidfile(_) => watches.push(Watch {
                        processes: vec![process],
                        ..Watch::default()
                    }),
                }
            }
        }
    }
    if !names.processes.is_empty() {
        watches.push(names);
    }
    for mut watch in watches {
        let observations = observations.clone();
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || while watch.turn(&observations).is_ok() {})?;
    }
    Ok(())
}

/// Nobody wants to know any more.
struct Over;

/// Each is looked at as long as somebody wants it to be.
#[derive(Default)]
struct Watch {
    files: Vec<(WatchedFile, Weak<()>)>,
    processes: Vec<(Process, Weak<()>)>,
    /// When /proc was last gone through.
    searched_at: Option<Instant>,
}

impl Watch {
    fn turn(&mut self, observations: &mpsc::Sender<Observation>) -> Result<(), Over> {
        self.files.retain(|(_, wanted)| wanted.strong_count() > 0);
        self.processes
            .retain(|(_, wanted)| wanted.strong_count() > 0);
        if self.files.is_empty() && self.processes.is_empty() {
            return Err(Over);
        }
        let say = |source, observed| {
            let sent = observations.blocking_send(Observation::Of(source, observed));
            sent.map_err(|_| Over)
        };
        for (file, _) in &mut self.files {
            if let Some(number) = file.look() {
                let source = Source::File(file.path.clone());
                say(source, Observed::Content(number))?;
            }
        }
        self.find_processes();
        for (process, _) in &mut self.processes {
            if let Some(observed) = process.look() {
                say(Source::Process(process.label.clone()), observed)?;
            }
        }
        self.wait();
        Ok(())
    }

    /// Lets go of processes that have ended, and holds those that are not held yet.
    fn find_processes(&mut self) {
        let now = Instant::now();
        let missing = |process: &&mut Process| process.held.is_none();
        let mut due = self
            .searched_at
            .is_none_or(|at| now.duration_since(at) >= SEARCH_INTERVAL);
        for (process, _) in &mut self.processes {
            if let ProcessSelector::Pidfile(path) = &process.selector {
                // It may name another one by now.
                let pid = read_pid(path);
                if process.pid != pid {
                    process.held = None;
                }
                process.pid = pid;
            }
            if process.held.as_ref().is_some_and(has_ended) {
                process.held = None;
                due = true;
            }
        }
        let mut by_name = BTreeMap::new();
        let processes = self.processes.iter_mut().map(|(process, _)| process);
        for process in processes.filter(missing) {
            match &process.selector {
                ProcessSelector::Pidfile(_) => process.held = process.pid.and_then(hold),
                ProcessSelector::Name(name) if due => {
                    by_name.insert(name.clone(), process);
                }
                ProcessSelector::Name(_) => {}
            }
        }
        if !by_name.is_empty() {
            self.searched_at = Some(now);
            search(by_name);
        }
    }

    /// Waits for the end of a process, or until it is time to look again.
    fn wait(&self) {
        let held = self.processes.iter();
        let held = held.filter_map(|(process, _)| process.held.as_ref());
        let mut ends: Vec<PollFd<'_>> = held
            .map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN))
            .collect();
        // An error is no reason to look more often.
        if poll(&mut ends, PollTimeout::from(LOOK_MS)).is_err() {
            std::thread::park_timeout(Duration::from_millis(LOOK_MS.into()));
        }
    }
}

/// A file with a number.
struct WatchedFile {
    path: PathBuf,
    number: Option<i32>,
    warned: bool,
}

impl WatchedFile {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            number: None,
            warned: false,
        }
    }

    /// Returns the number where it has changed: the last good one, or 0 where there was none.
    fn look(&mut self) -> Option<i32> {
        let number = match read_number(&self.path) {
            Ok(number) => {
                self.warned = false;
                number
            }
            Err(why) => {
                if !self.warned {
                    self.warned = true;
                    let (path, kept) = (self.path.display(), self.number.unwrap_or(0));
                    let cause = format!("{why}; {kept} counts");
                    tracing::warn!(%path, cause, "tracked file has no number");
                }
                self.number.unwrap_or(0)
            }
        };
        let changed = self.number != Some(number);
        self.number = Some(number);
        changed.then_some(number)
    }
}

/// A process that should be there.
struct Process {
    label: String,
    selector: ProcessSelector,
    held: Option<OwnedFd>,
    /// What its pidfile says.
    pid: Option<i32>,
    /// `None` before the first look.
    there: Option<bool>,
}

impl Process {
    fn new(config: ProcessConfig) -> Self {
        Self {
            label: config.label,
            selector: config.selector,
            held: None,
            pid: None,
            there: None,
        }
    }

    /// Returns what is so where that has changed.
    fn look(&mut self) -> Option<Observed> {
        let there = self.held.is_some();
        let changed = self.there != Some(there);
        self.there = Some(there);
        changed.then(|| match there {
            true => Observed::Well,
            false => Observed::Failed("is not running".into()),
        })
    }
}

fn has_ended(end: &OwnedFd) -> bool {
    let mut one = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    poll(&mut one, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Goes through /proc once, and holds the first process of each name.
fn search(mut wanted: BTreeMap<String, &mut Process>) {
    let Ok(entries) = fs::read_dir("/proc") else {
        return;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Some(name) = name_of(pid) else { continue };
        if let Some(process) = wanted.get_mut(&name)
            && let Some(held) = hold(pid)
        {
            process.held = Some(held);
            wanted.remove(&name);
            if wanted.is_empty() {
                return;
            }
        }
    }
}

/// Returns the name of a process's program, which the kernel cuts short.
fn name_of(pid: i32) -> Option<String> {
    let short = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let short = short.trim_end();
    if short.len() < COMM_CHARS {
        return Some(short.to_owned());
    }
    let mut words = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(TEXT_BYTES_MAX).read_to_end(&mut words).ok()?;
    // A script's own name is the second word, behind its interpreter.
    let names = words.split(|byte| *byte == 0).take(2).filter_map(|word| {
        let word = Path::new(std::str::from_utf8(word).ok()?);
        word.file_name()?.to_str()
    });
    let mut long = names.filter(|name| name.starts_with(short));
    Some(long.next().unwrap_or(short).to_owned())
}

/// Returns a descriptor that says when the process ends; `None` where it has.
fn hold(pid: i32) -> Option<OwnedFd> {
    // SAFETY: numbers only.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let descriptor = i32::try_from(descriptor).ok().filter(|it| *it >= 0)?;
    // SAFETY: the kernel has just given it to us alone.
    let held = unsafe { OwnedFd::from_raw_fd(descriptor) };
    (!has_ended(&held)).then_some(held)
}

fn read_pid(path: &Path) -> Option<i32> {
    let pid = read_number(path).ok()?;
    (pid > 0).then_some(pid)
}

/// Reads the number at the beginning of a file.
fn read_number(path: &Path) -> Result<i32, String> {
    let mut text = String::new();
    // A named pipe that nobody writes to must not keep the thread.
    let mut open = OpenOptions::new();
    open.read(true).custom_flags(libc::O_NONBLOCK);
    let file = open.open(path).map_err(|error| error.to_string())?;
    let read = file.take(TEXT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    let number = word.parse();
    // It may be anything that root can read: it is not repeated.
    number.map_err(|_| "it does not begin with a number".to_owned())
}

/// How often files are read.
const LOOK_MS: u8 = 50;
/// How often a process that is not there is looked for by name.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);
/// What is read of a file.
const TEXT_BYTES_MAX: u64 = 256;
/// The kernel keeps so many bytes of a program's name.
const COMM_CHARS: usize = 15;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::process::Command;

    use super::*;

    #[test]
    fn the_last_good_number_stays_and_none_ever_is_zero() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weight");
        let mut file = WatchedFile::new(path.clone());
        assert_eq!(file.look(), Some(0), "none ever");
        for (text, hoped) in [
            ("-20\n", Some(-20)),
            ("-20 and words", None),
            ("soon", None),
            ("", None),
            ("7", Some(7)),
            ("99999999999", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(file.look(), hoped, "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), None, "gone");
        let mode = nix::sys::stat::Mode::S_IRUSR;
        nix::unistd::mkfifo(&path, mode).unwrap();
        assert_eq!(file.look(), None, "a pipe that nobody writes to");
    }

    #[test]
    fn what_nobody_wants_to_know_any_more_is_not_looked_at() {
        let wanted = Arc::default();
        let file = WatchedFile::new(PathBuf::from("/nonexistent"));
        let mut watch = Watch {
            files: vec![(file, Arc::downgrade(&wanted))],
            ..Watch::default()
        };
        let (tell, mut told) = mpsc::channel(1);
        assert!(watch.turn(&tell).is_ok());
        assert!(told.try_recv().is_ok(), "none ever is zero");
        drop(wanted);
        assert!(watch.turn(&tell).is_err());
    }

    #[test]
    fn a_process_is_found_by_name_and_by_pidfile_and_its_end_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("a-long-name-of-a-program");
        fs::copy("/bin/sleep", &program).unwrap();
        let pidfile = directory.path().join("pid");
        let mut child = Command::new(&program).arg("60").spawn().unwrap();
        fs::write(&pidfile, format!("{}\n", child.id())).unwrap();
        let wanted = Arc::default();
        let process = |selector| {
            let config = ProcessConfig {
                label: "it".into(),
                selector,
            };
            (Process::new(config), Arc::downgrade(&wanted))
        };
        let name = ProcessSelector::Name("a-long-name-of-a-program".into());
        let mut watch = Watch {
            files: Vec::new(),
            processes: vec![
                process(name),
                process(ProcessSelector::Pidfile(pidfile.clone())),
            ],
            searched_at: None,
        };
        // The kernel gives a new process its name a moment after it was started.
        let deadline = Instant::now() + Duration::from_secs(5);
        while watch
            .processes
            .iter()
            .any(|(process, _)| process.held.is_none())
        {
            assert!(Instant::now() < deadline, "both are found");
            watch.searched_at = None;
            watch.find_processes();
        }
        let looked = |watch: &mut Watch| -> Vec<_> {
            let processes = watch.processes.iter_mut();
            processes.map(|(process, _)| process.look()).collect()
        };
        assert_eq!(
            looked(&mut watch),
            [Some(Observed::Well), Some(Observed::Well)]
        );
        assert_eq!(looked(&mut watch), [None, None]);
        let mut second = Command::new(&program).arg("60").spawn().unwrap();
        while name_of(second.id().try_into().unwrap()).as_deref()
            != Some("a-long-name-of-a-program")
        {
            assert!(Instant::now() < deadline, "it has its name");
        }
        child.kill().unwrap();
        watch.wait();
        watch.find_processes();
        let by_pidfile = Some(Observed::Failed("is not running".into()));
        assert_eq!(
            looked(&mut watch),
            [None, by_pidfile],
            "another one is there"
        );
        fs::write(&pidfile, format!("{}\n", second.id())).unwrap();
        watch.find_processes();
        assert_eq!(looked(&mut watch), [None, Some(Observed::Well)]);
        second.kill().unwrap();
        watch.wait();
        watch.find_processes();
        let gone = Some(Observed::Failed("is not running".into()));
        assert_eq!(looked(&mut watch), [gone.clone(), gone]);
        watch.find_processes();
        assert_eq!(looked(&mut watch), [None, None], "a zombie is not running");
        child.wait().unwrap();
        second.wait().unwrap();
    }
}
