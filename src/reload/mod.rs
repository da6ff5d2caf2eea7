//! Makes a configuration what requests see: at the start, and again when its file changes or a signal asks
//! for it. Backends that stay keep their counters, connections and health; an invalid file changes nothing.

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

/// The source of a configuration, to read it again.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// Settings that override it.
    pub overrides: Overrides,
    /// The states of the file, and of those that it names, before they were first read.
    marks: Marks,
}

impl ConfigFile {
    /// Must be called before the file is read, so that later changes are noticed.
    pub fn new(path: PathBuf, overrides: Overrides) -> ConfigFile {
        let marks = Marks::of([path.clone()]);
        ConfigFile { path, overrides, marks }
    }

    /// The same for the files that the configuration names, before they are read.
    pub fn names_files_of(&mut self, config: &Config) {
        self.marks.add(Marks::of_files_named_in(config));
    }
}

/// Reloads the configuration.
pub struct Reloader {
    file: Option<ConfigFile>,
    live: Arc<SharedLive>,
    transport: Arc<dyn Transport>,
    manager: Arc<ServiceManager>,
    logs: Arc<Logs>,
    members: Arc<Members>,
    /// The states of the files when they were last read, even by a reload that failed.
    loaded: Mutex<Marks>,
    /// Receives new certificates.
    certificates: OnceLock<Box<dyn Fn(ServerSettings) + Send + Sync>>,
    /// Expiry of the certificates in use.
    lives: Mutex<Vec<CertificateLife>>,
    last: Mutex<LastReload>,
    /// Held by a reload, so that there is one at a time.
    turn: Mutex<()>,
}

impl Reloader {
    /// For the running configuration; without a file there is nothing to reload.
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

    /// The configuration file, if there is one.
    pub fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }

    /// Sets the receiver of new certificates.
    pub fn on_certificates(&self, take: impl Fn(ServerSettings) + Send + Sync + 'static) {
        let _ = self.certificates.set(Box::new(take));
    }

    /// Records that these certificates are in use. Takes a lock.
    pub fn note_certificates(&self, settings: &ServerSettings) {
        let life =
            |it: &tls::Certificate| Some(CertificateLife { file: it.file.clone(), expires: it.expires? });
        *self.lives.lock() = settings.certificates().iter().filter_map(life).collect();
    }

    /// The expiry of the certificates in use. Takes a lock.
    pub fn certificates(&self) -> Vec<CertificateLife> {
        self.lives.lock().clone()
    }

    /// The last reload, or the start. Takes a lock.
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

    /// The states of the files when they were last read. Takes a lock.
    fn loaded(&self) -> Marks {
        self.loaded.lock().clone()
    }

    /// Reads the file and, if it is valid, makes it the configuration in force; returns what has changed.
    /// Looks up names, so it may take a while; holds a lock throughout.
    ///
    /// # Errors
    /// All mistakes in the file, which then changes nothing.
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
        // Before reading, so that a change during the reload causes another one.
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
                // Keeps watching the files in force, and those that were named but could not be read.
                Err(mistakes)
            }
        };
        *self.loaded.lock() = marks;
        result
    }

    /// Everything slow happens before the swap, without touching what is in use, or after it.
    fn take_over(&self, mut config: Config, files: Renewed) -> Reloaded {
        let before = self.live.get();
        for field in keep_what_needs_a_restart(&mut config, &before.config) {
            event(Warn, "reload", "needs a restart", &[("field", &field)]);
        }
        let mut changes = changes::of_config(&before.config, &config);
        let draft = build_with(config, Some(&before), Some(&self.members));
        let known: HashSet<u64> = all_of(&before).map(|backend| backend.id()).collect();
        let new = all_of(&draft).filter(|backend| !known.contains(&backend.id())).cloned().collect();
        names::look_up_new(&draft.config, new, &self.members);
        self.members.keep_only(&draft.config);
        // The addresses of names must be known before their backends can be built.
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

    /// Closes the connections of removed backends, and drops weight overrides that no longer apply.
    fn let_go(&self, before: &Live, after: &Live) {
        let stay: HashSet<u64> = all_of(after).map(|backend| backend.id()).collect();
        after.backends().for_each(|backend| backend.serves_now());
        for backend in all_of(before).filter(|backend| !stay.contains(&backend.id())) {
            self.transport.forget(backend);
        }
    }

    /// Rebuilds the pools after addresses of names have changed; nothing else changes. Takes a lock.
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

    /// Closes the connections of addresses that have left for good.
    fn forget_parked(&self, now: Instant) {
        self.members.forgotten(now).iter().for_each(|backend| self.transport.forget(backend));
    }
}

/// The backends of all pools, and the services that are asked about logins.
fn all_of(live: &Live) -> impl Iterator<Item = &Arc<Backend>> {
    live.backends().chain(live.auth_services())
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

/// Builds the pools of this configuration, reusing backends that `previous` has in the pool of the same name.
/// Changes nothing that `previous` uses. Every entry becomes one backend, whatever its `addresses` says.
pub fn build(config: Config, previous: Option<&Live>) -> Live {
    build_with(config, previous, None)
}

/// Like [`build`], with a backend for each address where that is configured.
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

/// The backend of an entry, with all addresses of its name.
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

/// The backends of an entry, one for each address. One that joins others must pass a probe before it serves;
/// one that has come back keeps its earlier counters.
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
