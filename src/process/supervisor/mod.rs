//! The parent process: it starts the others again when they die or fall silent, and keeps what must
//! outlive them.
//!
//! It holds the listening sockets, duplicates of the VRRP sockets, the last role of every virtual
//! router and the last health of every pool; it turns what it is told into fitness (`logic::track`)
//! and answers operators. It parses nothing that comes from the network: not even what name servers
//! answer, which a process of its own does (`follow`). Losing it means giving the
//! addresses up: its children see their channel close. Read `daemon` for the loop, `child` for what
//! "silent" means.

mod passed;
mod reload;
mod control;
mod admin;
mod aside;
mod child;
mod daemon;
mod descriptors;
mod error;
mod follow;
mod kept_file;
mod keys;
mod notify;
mod runtime_dir;
mod scripts;
mod threads;
mod tracking;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::SigSet;

pub use self::error::SupervisorError;
pub use self::reload::source::open_config;
pub use self::runtime_dir::lock_network;

use self::admin::Admin;
use self::follow::kept::KeptAddresses;
use self::follow::names::Resolver;
use self::follow::process::{NamesProcess, has_names};
use self::keys::Keys;
use self::keys::find::find;
pub(crate) use self::keys::find::notes as certificate_notes;
pub(crate) use self::keys::reader::Pairs;
use self::keys::reader::Reader;
use self::passed::access_log::AccessLog;
use self::passed::listeners::Bound;
use self::passed::spool::Spool;
use self::reload::commanded::{self, Store};
use self::reload::running::Running;
use self::reload::source::ConfigSource;
use crate::config::Config;
use crate::config::overrides::Overrides;
use crate::ipc::log;
use crate::process::role::{self, Role};

/// What `evenkeel run` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// `--node`.
    pub node: Option<String>,
    /// Where the control socket and the lock live.
    pub runtime_dir: PathBuf,
    /// Where bodies of requests are kept that do not fit into memory.
    pub cache_dir: PathBuf,
    /// Takes away what a former daemon with virtual routers has left; one with virtual routers does
    /// so itself.
    pub remove_leftovers: fn() -> std::io::Result<()>,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, another daemon has the runtime directory, or the system refuses
/// what the daemon cannot do without.
pub fn run(options: &Options) -> Result<(), SupervisorError> {
    role::confine(Role::Supervisor)?;
    block_signals()?;
    let source = ConfigSource::Path(options.config.clone());
    let mut checked = source.check(options.node.as_deref())?;
    let raised = descriptors::raise_limit();
    let _lock = runtime_dir::lock(&options.runtime_dir)?;
    let runtime = new_runtime()?;
    let resolver = Arc::new(Resolver::keeping(KeptAddresses::of(&options.runtime_dir)));
    let names = {
        let _guard = runtime.enter();
        start_names(&mut checked.config, &resolver)?
    };
    let store = Store::of(&options.runtime_dir);
    let kept = store.load();
    let overrides = kept
        .as_ref()
        .map(|kept| commanded::pruned(kept, &checked.config));
    let overrides = overrides.unwrap_or_default();
    let keys = {
        let _guard = runtime.enter();
        start_keys(&mut checked.config)?
    };
    let mut config = checked.config.clone();
    overrides.apply(&mut config);
    let network_lock = match config.virtual_routers.is_empty() {
        true => None,
        false => lock_network()?,
    };
    let sockets = Bound::open(&config)?;
    let admin = Admin::open(&config, &options.config)?;
    let access_log = AccessLog::open(&config)?;
    let spool = Spool::for_config(&config, &options.cache_dir)?;
    let printer = log::to_standard_error();
    if config.virtual_routers.is_empty()
        && let Ok(Some(_lock)) = runtime_dir::try_lock_network()
        && let Err(error) = (options.remove_leftovers)()
    {
        tracing::warn!(%error, "what a former daemon has left is not removed");
    }
    keep_what_is_left(&store, kept, &overrides);
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let result = runtime.block_on(daemon::serve(
        daemon::Setup {
            path: options.config.clone(),
            node: options.node.clone(),
            running: Running::first(checked.name, &checked.yaml),
            config,
            base: checked.config,
            yaml: checked.yaml,
            overrides,
            store,
            network_lock,
            sockets,
            access_log,
            spool,
            cache_dir: options.cache_dir.clone(),
            keys,
            resolver,
            names,
            admin,
            runtime_dir: options.runtime_dir.clone(),
        },
        &printer,
    ));
    printer.flush();
    result
}

fn new_runtime() -> Result<tokio::runtime::Runtime, SupervisorError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let built = builder.enable_all().build();
    built.map_err(|source| SupervisorError::System {
        what: "start a runtime",
        source,
    })
}

/// Starts the process that looks names up where there are some, and lays what it knows in time on
/// the configuration.
fn start_names(
    config: &mut Config,
    resolver: &Arc<Resolver>,
) -> Result<Option<NamesProcess>, SupervisorError> {
    if !has_names(config) {
        return Ok(None);
    }
    let names = NamesProcess::start(Arc::clone(resolver), Instant::now())?;
    resolver.recall();
    resolver.find(config);
    Ok(Some(names))
}

/// Starts the process that keeps private keys where one is needed, and finds what the configuration
/// names of certificates.
fn start_keys(config: &mut Config) -> Result<Option<Keys>, SupervisorError> {
    if !keys::are_needed(config) {
        find(config, &Reader::default())?;
        return Ok(None);
    }
    let now = Instant::now();
    let secrets = keys::held::secrets(&config.group).map_err(SupervisorError::Secret)?;
    let mut keys = Keys::start(secrets, now)?;
    let held = find(config, &*keys.reader)?;
    keys.hold(held);
    Ok(Some(keys))
}

/// Unblocks what we must hear, whoever has blocked it, and has what would end us by default wait
/// until it is listened to.
fn block_signals() -> Result<(), SupervisorError> {
    let (mut heard, mut waiting) = (SigSet::all(), SigSet::empty());
    for signal in daemon::WAITING_SIGNALS {
        heard.remove(signal);
        waiting.add(signal);
    }
    let done = waiting.thread_block().and_then(|()| heard.thread_unblock());
    done.map_err(|errno| SupervisorError::System {
        what: "unblock signals",
        source: errno.into(),
    })
}

/// Says what of the changes by command that were kept does not hold any more, and has it not come
/// back with a later start.
fn keep_what_is_left(store: &Store, kept: io::Result<Overrides>, left: &Overrides) {
    let path = store.path().display();
    let kept = match kept {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(%path, %error, "what was changed by command is lost");
            return;
        }
    };
    for cause in commanded::lost(&kept, left) {
        tracing::warn!(cause, "configuration changed");
    }
    if kept != *left
        && let Err(error) = store.save(left)
    {
        tracing::warn!(%path, %error, "what was changed by command is not kept");
    }
}

/// Reads and checks a configuration for this machine; also what `evenkeel check` does.
///
/// # Errors
/// When the file cannot be read or is wrong, or something that it names cannot be used.
pub(crate) fn read_config(
    path: &Path,
    node: Option<&str>,
    pairs: &dyn Pairs,
) -> Result<(String, Config), SupervisorError> {
    let mut checked = ConfigSource::Path(path.to_owned()).check(node)?;
    find(&mut checked.config, pairs)?;
    keys::held::secrets(&checked.config.group).map_err(SupervisorError::Secret)?;
    Ok((checked.yaml, checked.config))
}
