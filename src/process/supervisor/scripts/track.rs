//! Track scripts: each run again and again, on a thread of their own; what their runs mean goes to
//! the loop.
//!
//! A run that could not be started (no process, no memory, a program that cannot be trusted or is
//! gone) says nothing of what the script checks: it is warned of, and tried again.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::pool::Keepers;
use super::run::{Ended, Job};
use super::trust;
use crate::config::TrackScriptConfig;
use crate::logic::track::script::{Run, ScriptState};
use crate::logic::track::{Observed, Source};
use crate::process::role::ProgramUser;

/// Something for the loop.
#[derive(Debug)]
pub(crate) enum Observation {
    /// It was observed.
    Of(Source, Observed),
    /// The script of this name cannot be run, and why; `None`: it can again.
    Unrunnable(String, Option<String>),
}

/// The thread on which scripts are run; it ends with this, and all that it runs.
#[derive(Debug)]
pub(crate) struct Runner {
    orders: Arc<Orders>,
}

/// What the thread is told.
#[derive(Debug, Default)]
struct Orders {
    /// Scripts that are to begin; bounded by those of a configuration, each comes once.
    begin: Mutex<Vec<Begin>>,
    /// There is one more, or nobody is left who would say so.
    changed: Notify,
    over: AtomicBool,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.orders.over.store(true, Ordering::Relaxed);
        self.orders.changed.notify_one();
    }
}

/// A script that is to be run from now on.
#[derive(Debug)]
struct Begin {
    script: TrackScriptConfig,
    user: Arc<ProgramUser>,
    /// As long as somebody wants it to be.
    wanted: Weak<()>,
}

impl Runner {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(observations: mpsc::Sender<Observation>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKS_MAX)
            .build()?;
        let orders = Arc::<Orders>::default();
        let heard = Arc::clone(&orders);
        std::thread::Builder::new()
            .name("scripts".into())
            .spawn(move || LocalSet::new().block_on(&runtime, run_all(&heard, observations)))?;
        Ok(Self { orders })
    }

    /// Runs a script from now on, as long as somebody wants it to be.
    pub(crate) fn run(&self, script: TrackScriptConfig, user: Arc<ProgramUser>, wanted: Weak<()>) {
        self.orders.begin().push(Begin {
            script,
            user,
            wanted,
        });
        self.orders.changed.notify_one();
    }
}

impl Orders {
    fn begin(&self) -> MutexGuard<'_, Vec<Begin>> {
        // A thread that panicked here left the list whole.
        self.begin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run_all(orders: &Orders, observations: mpsc::Sender<Observation>) {
    let mut keepers: BTreeMap<String, Rc<Keepers>> = BTreeMap::new();
    let mut starts_at = Instant::now();
    while !orders.over.load(Ordering::Relaxed) {
        let begun = std::mem::take(&mut *orders.begin());
        for Begin {
            script,
            user,
            wanted,
        } in begun
        {
            // Not all in the same moment.
            starts_at = (starts_at + BETWEEN_STARTS).max(Instant::now());
            let keepers = Rc::clone(keepers.entry(script.user.clone()).or_default());
            let observations = observations.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep_until(starts_at).await;
                run_for_ever(&script, &user, &keepers, &observations, &wanted).await;
            });
        }
        orders.changed.notified().await;
    }
}

/// Runs a script at every interval, until nobody wants to know.
async fn run_for_ever(
    script: &TrackScriptConfig,
    user: &ProgramUser,
    keepers: &Keepers,
    observations: &mpsc::Sender<Observation>,
    wanted: &Weak<()>,
) {
    let mut state = ScriptState::new(script.thresholds);
    let mut warned = Warned::default();
    let mut look = None;
    // Nothing is said yet: another script may have had this name.
    let mut unrunnable: Option<Option<String>> = None;
    let mut ticks = tokio::time::interval(script.interval);
    // A run that takes longer than the interval is followed by the next at its next beginning.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if wanted.strong_count() == 0 {
            return;
        }
        let run = run_once(script, user, keepers, &mut look).await;
        let why = run.as_ref().err().cloned();
        if let Some(why) = &why {
            warned.warn(&script.name, why);
        }
        let mut said = Vec::new();
        if unrunnable.as_ref() != Some(&why) {
            unrunnable = Some(why.clone());
            said.push(Observation::Unrunnable(script.name.clone(), why));
        }
        if let Some(observed) = run.ok().and_then(|run| state.handle_run(run)) {
            let source = Source::Script(script.name.clone());
            said.push(Observation::Of(source, observed));
        }
        // What ran to its end for nobody is not said: another script may have its name.
        if wanted.strong_count() == 0 {
            return;
        }
        for observation in said {
            if observations.send(observation).await.is_err() {
                return;
            }
        }
    }
}

/// Runs a script once, or says why that was not possible.
async fn run_once(
    script: &TrackScriptConfig,
    user: &ProgramUser,
    keepers: &Keepers,
    look: &mut Option<Look>,
) -> Result<Run, String> {
    // One that hangs is waited for, and keeps no more than its thread.
    let looking = look.get_or_insert_with(|| {
        let path = script.program.clone();
        tokio::task::spawn_blocking(move || trust::trusted_path(&path))
    });
    let Ok(looked) = tokio::time::timeout(LOOK_TIMEOUT, looking).await else {
        return Err("the disk does not answer".into());
    };
    *look = None;
    let resolved = looked.map_err(|_| "the thread that looked at it has ended".to_owned())??;
    let job = Job {
        program: &script.program,
        resolved: &resolved,
        arguments: &script.arguments,
        user,
        limit: script.timeout,
    };
    match keepers.execute(&job).await {
        Ended::Success => Ok(Run::Success),
        Ended::Failure(how) => Ok(Run::Failure(how)),
        Ended::TimedOut(limit) => Ok(Run::Failure(format!("timed out after {limit:?}"))),
        Ended::Short(error) | Ended::Unrunnable(error) => Err(error.to_string()),
    }
}

/// A look at the path of a script, that may hang.
type Look = JoinHandle<Result<PathBuf, String>>;

/// What was warned of a script that cannot be run, so that it is not said with every run.
#[derive(Default)]
struct Warned {
    last: Option<(String, Instant)>,
}

impl Warned {
    fn warn(&mut self, script: &str, why: &str) {
        let recent = |(what, at): &(String, Instant)| what == why && at.elapsed() < WARN_INTERVAL;
        if !self.last.as_ref().is_some_and(recent) {
            tracing::warn!(
                script,
                error = why,
                "track script cannot be run: no verdict, it is tried again"
            );
            self.last = Some((why.to_owned(), Instant::now()));
        }
    }
}

/// Paths looked at in the same moment: a dead disk keeps a thread each.
const LOOKS_MAX: usize = 512;
/// How long a disk may take to show the way to a program.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between the first runs of two scripts.
const BETWEEN_STARTS: Duration = Duration::from_millis(1);
const WARN_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::logic::track::script::Thresholds;

    /// Another script may have had the name, of which it is said that it cannot be run.
    #[test]
    fn the_first_run_of_a_script_says_whether_it_can_be_run() {
        let (tell, mut told) = mpsc::channel(8);
        let runner = Runner::start(tell).unwrap();
        let script = TrackScriptConfig {
            name: "it".into(),
            program: "/bin/true".into(),
            arguments: Vec::new(),
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(5),
            thresholds: Thresholds { rise: 1, fall: 1 },
            user: "nobody".into(),
        };
        let user = Arc::new(ProgramUser::of_track_scripts("nobody"));
        let wanted = Arc::default();
        runner.run(script, user, Arc::downgrade(&wanted));
        let first = told.blocking_recv().unwrap();
        assert!(
            matches!(&first, Observation::Unrunnable(name, _) if name == "it"),
            "{first:?}"
        );
    }
}
