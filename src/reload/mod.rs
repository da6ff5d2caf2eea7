//! A configuration becomes what requests see: at the start, and again when its file has changed or a
//! signal asks for it. What stays keeps its counters, its connections and its health; a file that is not
//! valid changes nothing.

mod changes;
mod marks;
mod report;
mod restart;
mod watcher;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use log::Level::{Error, Info, Warn};
use parking_lot::Mutex;

pub use report::Reloaded;
pub use watcher::start as watch;

use marks::Marks;
use restart::keep_what_needs_a_restart;

use crate::config::{self, BackendConfig, Config, Overrides, PoolConfig};
use crate::logging::{Logs, event};
use crate::metrics::operation::{CertificateLife, LastReload};
use crate::names::members::{Key, Members};
use crate::names::roster::retention;
use crate::pool::{Backend, Endpoint, Live, Policy, Pool, SharedLive};
use crate::service_manager::ServiceManager;
use crate::tls::files::Renewed;
use crate::tls::{self, ServerSettings};
use crate::transport::Transport;
use crate::{balance, descriptors, names, rules};

/// Where a configuration came from, to read it again.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// What wins over it.
    pub overrides: Overrides,
    /// What it was like, and the files that it names, when they were first read.
    marks: Marks,
}

impl ConfigFile {
    /// To be called before the file is read: what changes from now on is noticed.
    pub fn new(path: PathBuf, overrides: Overrides) -> ConfigFile {
        let marks = Marks::of([path.clone()]);
        ConfigFile { path, overrides, marks }
    }

    /// The same for the files that it names, before they are read.
    pub fn names_files_of(&mut self, config: &Config) {
        self.marks.add(Marks::of_files_named_in(config));
    }
}

/// Reads the configuration again.
pub struct Reloader {
    file: Option<ConfigFile>,
    live: Arc<SharedLive>,
    transport: Arc<dyn Transport>,
    manager: Arc<ServiceManager>,
    logs: Arc<Logs>,
    members: Arc<Members>,
    /// What the files were like when they were last read, those of a reload that failed included.
    loaded: Mutex<Marks>,
    /// Takes new certificates.
    certificates: OnceLock<Box<dyn Fn(ServerSettings) + Send + Sync>>,
    /// What those in use say of themselves.
    lives: Mutex<Vec<CertificateLife>>,
    last: Mutex<LastReload>,
    /// One at a time.
    turn: Mutex<()>,
}

impl Reloader {
    /// For what is running now; without a file there is nothing to read.
    pub fn new(
        file: Option<ConfigFile>,
        live: Arc<SharedLive>,
        transport: Arc<dyn Transport>,
        manager: Arc<ServiceManager>,
        logs: Arc<Logs>,
        members: Arc<Members>,
    ) -> Reloader {
        let loaded = file.as_ref().map(|file| file.marks.clone()).unwrap_or_default();
        let now = SystemTime::now();
        Reloader {
            file,
            live,
            transport,
            manager,
            logs,
            members,
            loaded: Mutex::new(loaded),
            certificates: OnceLock::new(),
            lives: Mutex::default(),
            last: Mutex::new(LastReload { loaded: now, tried: now, mistakes: None }),
            turn: Mutex::new(()),
        }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }

    /// Where new certificates go.
    pub fn on_certificates(&self, take: impl Fn(ServerSettings) + Send + Sync + 'static) {
        let _ = self.certificates.set(Box::new(take));
    }

    /// These are in use from now on. Takes a lock.
    pub fn note_certificates(&self, settings: &ServerSettings) {
        let life =
            |it: &tls::Certificate| Some(CertificateLife { file: it.file.clone(), expires: it.expires? });
        *self.lives.lock() = settings.certificates().iter().filter_map(life).collect();
    }

    /// Until when those in use are valid. Takes a lock.
    pub fn certificates(&self) -> Vec<CertificateLife> {
        self.lives.lock().clone()
    }

    /// How the configuration was last read; the start counts as that, too. Takes a lock.
    pub fn last(&self) -> LastReload {
        self.last.lock().clone()
    }

    fn note(&self, result: &Result<Reloaded, String>) {
        let (now, mut last) = (SystemTime::now(), self.last.lock());
        last.tried = now;
        last.mistakes = result.as_ref().err().cloned();
        if last.mistakes.is_none() {
            last.loaded = now;
        }
    }

    /// What the files were like when they were last read. Takes a lock.
    fn loaded(&self) -> Marks {
        self.loaded.lock().clone()
    }

    /// Reads the file and, if it is valid, makes it what requests see from now on; says what
    /// has changed. Looks names up, so it may take a while; takes a lock for all of it.
    ///
    /// # Errors
    /// Every mistake in the file, which then changes nothing.
    pub fn reload(&self) -> Result<Reloaded, String> {
        let _turn = self.turn.lock();
        self.manager.reloading();
        let result = self.read_again();
        if self.file.is_some() {
            self.note(&result);
        }
        self.manager.serving(&match &result {
            Ok(done) => format!("reloaded: {}", done.summary),
            Err(mistakes) => format!("not reloaded: {mistakes}"),
        });
        result
    }

    fn read_again(&self) -> Result<Reloaded, String> {
        let Some(file) = &self.file else {
            event(Warn, "reload", "there is no configuration file to read again", &[]);
            return Err("there is no configuration file to read again".to_owned());
        };
        // Before anything is read, so that what changes while it is read is read again.
        let mut marks = self.loaded().again();
        let read = config::load_again(&file.path, &file.overrides);
        let read = read.map_err(|mistakes| tls::files::told_with(&mistakes));
        let read = read.and_then(|config| {
            let named = Marks::of_files_named_in(&config);
            marks.add(named.clone());
            let files = tls::files::read_again(&config).map_err(|problems| problems.join("\n"))?;
            let logs = self.logs.open(&config)?;
            Ok((config, files, named, logs))
        });
        let result = match read {
            Ok((mut config, files, named, logs)) => {
                marks.retain(&named, &file.path);
                descriptors::fit(&mut config);
                self.logs.switch_to(logs);
                Ok(self.take_over(config, files))
            }
            Err(mistakes) => {
                for mistake in mistakes.lines() {
                    event(Error, "reload", "not reloaded", &[("mistake", &mistake)]);
                }
                // What is in force is watched on, and what was named and could not be read.
                Err(mistakes)
            }
        };
        *self.loaded.lock() = marks;
        result
    }

    /// All that takes time comes before the swap and touches nothing that is in use, or after it.
    fn take_over(&self, mut config: Config, files: Renewed) -> Reloaded {
        let before = self.live.get();
        for field in keep_what_needs_a_restart(&mut config, &before.config) {
            event(Warn, "reload", "needs a restart", &[("field", &field)]);
        }
        let mut changes = changes::of_config(&before.config, &config);
        let draft = build_with(config, Some(&before), Some(&self.members));
        let known: HashSet<u64> = before.backends().map(|backend| backend.id()).collect();
        let new = draft
            .backends()
            .chain(draft.auth_services())
            .filter(|backend| !known.contains(&backend.id()))
            .cloned()
            .collect();
        names::look_up_new(&draft.config, new, &self.members);
        self.members.keep_only(&draft.config);
        // Names whose addresses are backends have to be known before those can be built.
        let after = match self.members.take_stale() {
            true => build_with(draft.config.clone(), Some(&draft), Some(&self.members)),
            false => draft,
        };
        let after = Arc::new(after);
        let mut done = Reloaded::of(&before, &after);

        self.live.set(Arc::clone(&after));
        files.roots.take_effect();
        if let (Some(settings), Some(take)) = (files.server, self.certificates.get()) {
            self.note_certificates(&settings);
            take(settings);
            event(Info, "reload", "certificates were read again", &[]);
        }

        self.let_go(&before, &after);
        changes.extend(changes::of_clients(&before, &after));
        done.summary = if changes.is_empty() { "nothing has changed".to_owned() } else { changes.join(", ") };
        tell(&done);
        done
    }

    /// Of backends that have left, and of what was set by hand and is over.
    fn let_go(&self, before: &Live, after: &Live) {
        let stay: HashSet<u64> = after.backends().map(|backend| backend.id()).collect();
        after.backends().for_each(|backend| backend.serves_now());
        for backend in before.backends().filter(|backend| !stay.contains(&backend.id())) {
            self.transport.forget(backend);
        }
    }

    /// Addresses of names have come or gone: pools are built anew, and nothing else changes. Takes a lock.
    pub fn rebuild(&self) {
        let _turn = self.turn.lock();
        let before = self.live.get();
        let after = Arc::new(build_with(before.config.clone(), Some(&before), Some(&self.members)));
        self.live.set(Arc::clone(&after));
        after.backends().for_each(|backend| backend.serves_now());
        let now = Instant::now();
        for pool in before.pools() {
            let stay: HashSet<u64> = after.backends().map(|backend| backend.id()).collect();
            let until = now + retention(pool.config().health_check.interval);
            let gone = pool.backends().iter().filter(|backend| !stay.contains(&backend.id()));
            gone.for_each(|backend| self.members.park(Arc::clone(backend), until));
        }
        self.forget_parked(now);
    }

    /// Lets go of the connections of addresses that have left for good.
    fn forget_parked(&self, now: Instant) {
        self.members.forgotten(now).iter().for_each(|backend| self.transport.forget(backend));
    }
}

fn tell(done: &Reloaded) {
    if !done.overridden.is_empty() {
        let backends = report::in_a_line(&done.overridden);
        event(Warn, "reload", "what was set by hand is overridden", &[("backends", &backends)]);
    }
    let lists = [("added", &done.added), ("removed", &done.removed), ("kept_by_hand", &done.kept)];
    let lists = lists.map(|(name, list)| (name, report::in_a_line(list)));
    let mut fields: Vec<(&str, &dyn Display)> = vec![("changes", &done.summary)];
    fields.extend(lists.iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (*name, list as _)));
    event(Info, "reload", "configuration reloaded", &fields);
}

/// Pools of this configuration; backends that `previous` has in the pool of the same name are taken over.
/// Nothing that `previous` uses is changed by it. Every entry is one backend, whatever its `addresses` says.
pub fn build(config: Config, previous: Option<&Live>) -> Live {
    build_with(config, previous, None)
}

/// The same with a backend for each address where that is configured.
pub fn build_with(config: Config, previous: Option<&Live>, members: Option<&Members>) -> Live {
    let sticky_key = config.sticky_key.as_deref();
    let pool = |pool: &PoolConfig| {
        let known = previous.and_then(|live| live.pools().iter().find(|it| it.config().name == pool.name));
        let known: Vec<&Arc<Backend>> = known.into_iter().flat_map(|pool| pool.backends()).collect();
        let of_entry = |entry: &BackendConfig| match (Key::of(&pool.name, entry), members) {
            (Some(key), Some(members)) => several(entry, &key, &known, members, sticky_key),
            _ => vec![Arc::new(one(entry.clone(), &known, sticky_key))],
        };
        let backends = pool.backends.iter().flat_map(of_entry).collect();
        let policy = Arc::new(Policy::with(&config, rules::breaker_of(&config, pool)));
        Pool::new(pool.clone(), backends, balance::balancer(pool.algorithm), policy)
    };
    let pools = config.all_pools().map(pool).collect();
    let live = Live::new(config, pools);
    match previous {
        Some(previous) => live.after(previous),
        None => live,
    }
}

/// The backend of an entry, whose address book has all of its addresses.
fn one(entry: BackendConfig, known: &[&Arc<Backend>], sticky_key: Option<&str>) -> Backend {
    match known.iter().find(|it| !it.is_endpoint() && *it.url() == entry.url) {
        Some(stays) if stays.is_meant_by(&entry) => stays.successor(entry, sticky_key),
        Some(another) => {
            let new = Backend::with_sticky_key(entry, sticky_key);
            new.take_over_by_hand(another);
            new
        }
        None => Backend::with_sticky_key(entry, sticky_key),
    }
}

/// The backends of an entry, one for each address. One that joins others has to pass a probe first; one that
/// is back has its figures again.
fn several(
    entry: &BackendConfig,
    key: &Key,
    known: &[&Arc<Backend>],
    members: &Members,
    sticky_key: Option<&str>,
) -> Vec<Arc<Backend>> {
    let joins_others = known.iter().any(|it| it.is_endpoint() && it.configured_name() == key.url.to_string());
    let backend = |endpoint: Endpoint| {
        if let Some(stays) = known.iter().find(|it| it.is_at(&endpoint, entry)) {
            return Arc::new(stays.successor_at(&endpoint, entry, sticky_key));
        }
        let new = match members.unpark(&endpoint, entry) {
            Some(back) => back.successor_at(&endpoint, entry, sticky_key),
            None => Backend::at(&endpoint, entry, sticky_key),
        };
        if joins_others {
            new.joins();
        }
        Arc::new(new)
    };
    members.endpoints(key).unwrap_or_default().into_iter().map(backend).collect()
}
