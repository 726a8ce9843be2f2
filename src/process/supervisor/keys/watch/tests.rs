//! The watcher, turn by turn, with a reader that takes every file that does not say `bad`.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::config::{DefaultCertificate, Resumption, TlsVersion};
use crate::model::KeyId;

/// Its chains have the text of the file in the place of a name.
#[derive(Default)]
struct Texts {
    broken: AtomicBool,
    asked: AtomicUsize,
}

impl Pairs for Texts {
    fn read(
        &self,
        path: &Path,
        certificate: &File,
        _key: Option<&File>,
    ) -> Result<CertificateChain, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut text = String::new();
        let mut certificate = certificate;
        certificate.read_to_string(&mut text).unwrap();
        if self.broken.load(Ordering::Relaxed) {
            return Err("the disk does not answer".to_owned());
        }
        match text.contains("bad") {
            true => Err(format!("{text} is bad")),
            false => Ok(CertificateChain {
                path: path.to_owned(),
                key: KeyId([0; 32]),
                names: vec![text],
                not_before: 0,
                not_after: 0,
                certificates: Vec::new(),
            }),
        }
    }
}

struct Rig {
    directory: tempfile::TempDir,
    texts: Arc<Texts>,
    watcher: Watcher,
    wanted: Arc<Mutex<Wanted>>,
    start: Instant,
    turns: u32,
}

impl Rig {
    /// Watches a directory with these files, `NAME.pem`, which serve already.
    fn new(files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (texts, wanted) = (Arc::new(Texts::default()), Arc::default());
        let pairs: Arc<dyn Pairs + Send + Sync> = Arc::clone(&texts) as _;
        let mut rig = Self {
            watcher: Watcher::new(Arc::downgrade(&wanted), pairs),
            directory,
            texts,
            wanted,
            start: Instant::now(),
            turns: 0,
        };
        for name in files {
            rig.write(name, name);
        }
        rig.follow(1);
        rig.turn();
        rig.turn();
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.pem"))
    }

    fn write(&self, name: &str, text: &str) {
        // Another file: how fast a clock is does not matter.
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// Begins with a configuration of which nothing has been found.
    fn follow(&mut self, number: u64) {
        let tls = ListenerTls {
            certificates: vec![CertificateSource::Path(self.directory.path().into())],
            default: DefaultCertificate::First,
            minimum_version: TlsVersion::Tls12,
            client_certificates: None,
            resumption: Resumption::Tickets,
            found: Arc::default(),
        };
        *self.wanted.lock().unwrap() = Wanted {
            number,
            listeners: BTreeMap::from([("https".to_owned(), tls)]),
            pools: BTreeMap::new(),
            held: Held::default(),
        };
    }

    fn turn(&mut self) -> Option<Renewed> {
        self.turns += 1;
        let now = self.start + LOOK_INTERVAL * self.turns;
        self.watcher.turn(now).unwrap()
    }

    /// Returns what serves after two turns, where that is news.
    fn names(&mut self) -> Option<Vec<String>> {
        let first = self.turn();
        let renewed = self.turn().or(first)?;
        let (_, found) = renewed.listeners.get("https")?;
        let names = found.chains.iter().map(|chain| chain.names.concat());
        Some(names.collect())
    }
}

#[test]
fn what_stands_still_and_fits_is_taken_up_and_what_is_gone_is_forgotten() {
    let mut rig = Rig::new(&["a", "b"]);
    assert!(rig.turn().is_none(), "nothing has changed");
    rig.write("a", "a2");
    assert!(rig.turn().is_none(), "it may still be written to");
    let renewed = rig.turn().unwrap();
    assert_eq!(renewed.number, 1);
    assert_eq!(renewed.listeners["https"].1.chains[0].names, ["a2"]);
    rig.write("a", "bad");
    assert_eq!(rig.names(), None, "the one before serves");
    fs::remove_file(rig.path("b")).unwrap();
    assert!(rig.turn().is_none(), "it may come back at once");
    let renewed = rig.turn().unwrap();
    assert_eq!(renewed.listeners["https"].1.chains.len(), 1);
    assert!(renewed.held.get(&rig.path("a")).is_some());
    assert!(renewed.held.get(&rig.path("b")).is_none());
}

/// What was found beside one configuration is not that of another: it is found again.
#[test]
fn another_configuration_has_everything_found_again_under_its_own_number() {
    let mut rig = Rig::new(&["a"]);
    rig.write("a", "a2");
    rig.turn();
    let stale = rig.turn().unwrap();
    rig.follow(2);
    let renewed = rig.turn().unwrap();
    assert_eq!((stale.number, renewed.number), (1, 2));
    assert_eq!(renewed.listeners["https"].1.chains[0].names, ["a2"]);
    let mut pending = stale;
    pending.listeners.clear();
    pending.add(renewed.clone());
    assert_eq!(pending.number, 2);
    let mut newer = renewed;
    newer.listeners.clear();
    pending.add(newer);
    assert!(pending.listeners.contains_key("https"), "both are pending");
}

#[test]
fn what_failed_is_tried_again_as_it_is_and_said_once() {
    let mut rig = Rig::new(&["a"]);
    rig.texts.broken.store(true, Ordering::Relaxed);
    rig.write("a", "a2");
    rig.turn();
    let renewed = rig.turn().unwrap();
    assert!(renewed.listeners.is_empty());
    assert!(renewed.warnings[0].contains("the disk does not answer"));
    let asked = rig.texts.asked.load(Ordering::Relaxed);
    let turns = u32::try_from(RETRY_INTERVAL.as_millis() / LOOK_INTERVAL.as_millis()).unwrap();
    for turn in 1..=turns {
        let again = usize::from(turn == turns);
        assert!(rig.turn().is_none(), "it was said");
        assert_eq!(rig.texts.asked.load(Ordering::Relaxed), asked + again);
    }
    rig.texts.broken.store(false, Ordering::Relaxed);
    for _ in 1..turns {
        assert!(rig.turn().is_none());
    }
    let renewed = rig.turn().unwrap();
    assert!(renewed.warnings.is_empty());
    assert_eq!(renewed.listeners["https"].1.chains[0].names, ["a2"]);
}

#[test]
fn a_directory_that_is_gone_is_said_while_what_serves_goes_on() {
    let mut rig = Rig::new(&["a"]);
    let here = rig.directory.path().to_owned();
    let away = here.with_extension("away");
    fs::rename(&here, &away).unwrap();
    assert!(rig.turn().is_none(), "for a moment");
    let renewed = rig.turn().unwrap();
    assert!(renewed.listeners.is_empty());
    assert!(renewed.held.get(&rig.path("a")).is_some());
    assert!(renewed.warnings[0].starts_with(&here.display().to_string()));
    fs::rename(&away, &here).unwrap();
    let renewed = rig.turn().unwrap();
    assert!(renewed.warnings.is_empty());
    assert!(renewed.listeners.is_empty(), "it is as it was");
}

/// One of two listeners that name the same file is not forgotten.
#[test]
fn authorities_are_taken_up_by_all_that_name_them() {
    let mut rig = Rig::new(&["a"]);
    let ca = rig.directory.path().join("ca.crt.txt");
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    };
    fs::write(&ca, authority("one")).unwrap();
    {
        let mut wanted = rig.wanted.lock().unwrap();
        wanted.number = 2;
        let mut tls = wanted.listeners["https"].clone();
        tls.client_certificates = Some(crate::config::ClientCertificates {
            ca: ca.clone(),
            required: true,
        });
        wanted.listeners.insert("other".to_owned(), tls.clone());
        wanted.listeners.insert("https".to_owned(), tls);
    }
    rig.turn();
    rig.turn();
    fs::remove_file(&ca).unwrap();
    fs::write(&ca, authority("another")).unwrap();
    rig.turn();
    let renewed = rig.turn().unwrap();
    assert_eq!(renewed.listeners.len(), 2);
}

#[test]
fn looks_are_rarer_where_they_take_long() {
    for (took_ms, pause_ms) in [(0, 250), (10, 250), (100, 900), (5000, 2000)] {
        let pause = pause_after(Duration::from_millis(took_ms));
        assert_eq!(pause, Duration::from_millis(pause_ms), "{took_ms} ms");
    }
}
