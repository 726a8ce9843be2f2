//! What a configuration names of hosts, certificates and keys, found before it is considered: on a
//! thread aside, by the processes that look names up and keep keys, which are started where there
//! is none yet.

use std::sync::Arc;
use std::time::Instant;

use crate::logic::lifecycle::Phase;
use crate::process::supervisor::aside::Aside;
use crate::process::supervisor::daemon::Daemon;
use crate::process::supervisor::error::SupervisorError;
use crate::process::supervisor::follow::news::News;
use crate::process::supervisor::follow::process::has_names;
use crate::process::supervisor::keys::find::{find, has_tls};
use crate::process::supervisor::keys::watch::{Renewed, Watch};
use crate::process::supervisor::keys::{self, Keys, held};
use crate::process::supervisor::reload::prepared::Read;
use crate::process::supervisor::reload::renewal::Renewal;
use crate::process::supervisor::reload::source::Checked;
use crate::process::supervisor::reload::stages::{Asker, Stage};

impl Daemon {
    /// Returns whether names, certificates or keys are to be found yet.
    pub(super) fn is_unfound(read: &Read) -> bool {
        let config = &read.checked.config;
        !read.is_found && (has_names(config) || has_tls(config) || keys::are_needed(config))
    }

    /// Begins to find them; the change goes on when they are found.
    pub(super) fn begin_finding(&mut self, asker: Asker, read: Read) {
        match self.finding(read) {
            Ok(finding) => self.reloads.stage = Stage::Reading(asker, finding),
            Err(error) => self.fail(asker, &error),
        }
    }

    fn finding(
        &mut self,
        mut read: Read,
    ) -> Result<Aside<Result<Read, SupervisorError>>, SupervisorError> {
        let config = &read.checked.config;
        let secrets = held::secrets(&config.group).map_err(SupervisorError::Secret)?;
        let has_keys = has_tls(config) || keys::are_needed(config);
        let reader = match &mut self.keys {
            Some(keys) => Arc::clone(&keys.reader),
            slot if keys::are_needed(config) => {
                let keys = Keys::start(Arc::clone(&secrets), Instant::now())?;
                Arc::clone(&slot.insert(keys).reader)
            }
            _ => Arc::default(),
        };
        if has_names(config) {
            self.start_names_first()?;
        }
        let resolver = self.followers.resolver();
        let finding = Aside::begin("finding", move || {
            resolver.find(&mut read.checked.config);
            if has_keys {
                read.secrets = Some(secrets);
                read.held = Some(find(&mut read.checked.config, &*reader)?);
            }
            read.is_found = true;
            Ok(read)
        });
        finding.map_err(|source| SupervisorError::System {
            what: "start a thread",
            source,
        })
    }

    /// Certificates have changed on disk, or what is wrong with some has.
    pub(in crate::process::supervisor::daemon) fn take_renewed(&mut self, renewed: Renewed) {
        self.certificate_warnings.clone_from(&renewed.warnings);
        if renewed.listeners.is_empty() && renewed.pools.is_empty() {
            return;
        }
        // The watcher finds it again, beside what is the configuration's now.
        if renewed.number == self.watched {
            self.take_up(Renewal::of_certificates(renewed));
        }
    }

    /// Backends have changed in files or behind names, or what is wrong with some has.
    pub(in crate::process::supervisor::daemon) fn take_news(&mut self, news: News) {
        self.followers.note(&news);
        if !news.pools.is_empty() {
            self.take_up(Renewal::of_backends(news));
        }
    }

    fn take_up(&mut self, newer: Renewal) {
        self.reloads.renewal.get_or_insert_default().add(newer);
        if let Stage::Idle = self.reloads.stage {
            self.begin_renewal();
        }
    }

    /// Takes up what was found anew, where nothing else is under way: as a change of the
    /// configuration whose text stays, and which is the proxy's alone.
    pub(in crate::process::supervisor::daemon) fn begin_renewal(&mut self) {
        if self.lifecycle.phase() != Phase::Running {
            return;
        }
        let Some(mut renewal) = self.reloads.renewal.take() else {
            return;
        };
        renewal.keep_certificates_of(self.watched);
        let mut base = self.setup.base.clone();
        renewal.apply(&mut base);
        if base == self.setup.base {
            return;
        }
        let checked = Checked {
            name: self.setup.running.file.clone(),
            yaml: self.setup.yaml.clone(),
            config: base,
        };
        let mut read = Read::unchanged(checked, self.setup.running.last_failure.clone());
        read.held = renewal.certificates.as_ref().map(|it| it.held.clone());
        let asker = Asker {
            dry_run: false,
            reply: None,
        };
        let overrides = self.setup.overrides.clone();
        self.consider(asker, read, overrides, Some(renewal));
    }

    /// Has what is found elsewhere followed as the configuration that runs has it.
    pub(in crate::process::supervisor::daemon) fn follow_what_is_found(&mut self) {
        self.watch_certificates();
        self.followers.follow(&self.setup.base, &self.health);
    }

    /// Watches the files of the configuration that runs.
    fn watch_certificates(&mut self) {
        if !has_tls(&self.setup.config) {
            self.watch = None;
            return;
        }
        let (reader, held) = match &self.keys {
            Some(keys) => (Arc::clone(&keys.reader), keys.held.clone()),
            None => Default::default(),
        };
        self.watch
            .take_if(|watch| self.keys.is_some() && !watch.asks(&reader));
        if self.watch.is_none() {
            match Watch::start(reader, self.renewals.clone()) {
                Ok(watch) => self.watch = Some(watch),
                Err(error) => tracing::error!(%error, "certificates are not watched"),
            }
        }
        if let Some(watch) = &self.watch {
            self.watched += 1;
            watch.follow(self.watched, &self.setup.config, &held);
        }
    }
}
