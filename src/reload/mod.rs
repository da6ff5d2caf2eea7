//! A configuration becomes what requests see: at the start, and again when its file has changed or a
//! signal asks for it. What stays keeps its counters, its connections and its health; a file that is not
//! valid changes nothing.

mod changes;
mod watcher;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use log::Level::{Error, Info, Warn};
use parking_lot::Mutex;

pub use watcher::start as watch;

use crate::config::{self, Config, Overrides, PoolConfig};
use crate::logging::event;
use crate::pool::{Backend, Live, Policy, Pool, SharedLive};
use crate::service_manager::ServiceManager;
use crate::tls::{self, ServerSettings};
use crate::transport::Transport;
use crate::{balance, descriptors, names};

/// Where a configuration came from, to read it again.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// What wins over it.
    pub overrides: Overrides,
}

/// Reads the configuration again.
pub struct Reloader {
    file: Option<ConfigFile>,
    live: Arc<SharedLive>,
    transport: Arc<dyn Transport>,
    manager: Arc<ServiceManager>,
    /// Takes new certificates.
    certificates: OnceLock<Box<dyn Fn(ServerSettings) + Send + Sync>>,
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
    ) -> Reloader {
        Reloader { file, live, transport, manager, certificates: OnceLock::new(), turn: Mutex::new(()) }
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }

    /// Where new certificates go.
    pub fn on_certificates(&self, take: impl Fn(ServerSettings) + Send + Sync + 'static) {
        let _ = self.certificates.set(Box::new(take));
    }

    /// Every file whose change asks for a reload. Takes a lock.
    pub fn files(&self) -> Vec<PathBuf> {
        let named = tls::files::names(&self.live.get().config);
        self.file.iter().map(|file| file.path.clone()).chain(named.into_iter().map(PathBuf::from)).collect()
    }

    /// Reads the file and, if it is valid, makes it what requests see from now on; says in a line what
    /// has changed. Looks names up, so it may take a while; takes a lock for all of it.
    ///
    /// # Errors
    /// Every mistake in the file, which then changes nothing.
    pub fn reload(&self) -> Result<String, String> {
        let _turn = self.turn.lock();
        self.manager.reloading();
        let result = self.read_again();
        self.manager.serving(&match &result {
            Ok(summary) => format!("reloaded: {summary}"),
            Err(mistakes) => format!("not reloaded: {mistakes}"),
        });
        result
    }

    fn read_again(&self) -> Result<String, String> {
        let Some(file) = &self.file else {
            event(Warn, "reload", "there is no configuration file to read again", &[]);
            return Err("there is no configuration file to read again".to_owned());
        };
        let refuse = |mistakes: String| {
            for mistake in mistakes.lines() {
                event(Error, "reload", "not reloaded", &[("mistake", &mistake)]);
            }
            mistakes
        };
        let mut config = config::load(Some(&file.path), &file.overrides)
            .map_err(|mistakes| refuse(mistakes.to_string()))?;
        let settings = tls::files::read(&config).map_err(|problems| refuse(problems.join("\n")))?;
        descriptors::fit(&mut config);
        let summary = self.take_over(config);
        if let (Some(settings), Some(take)) = (settings, self.certificates.get()) {
            take(settings);
            event(Info, "reload", "certificates were read again", &[]);
        }
        Ok(summary)
    }

    fn take_over(&self, mut config: Config) -> String {
        let before = self.live.get();
        for field in keep_what_needs_a_restart(&mut config, &before.config) {
            event(Warn, "reload", "needs a restart", &[("field", &field)]);
        }
        let by_hand: Vec<String> = before
            .backends()
            .filter(|backend| backend.is_set_by_hand())
            .map(|backend| backend.name().to_owned())
            .collect();
        if !by_hand.is_empty() {
            event(Warn, "reload", "what was set by hand is overridden", &[("backends", &by_hand.join(" "))]);
        }
        let mut changes = changes::of_config(&before.config, &config);
        let after = build(config, Some(&before));
        names::look_up_new(&after);
        changes.extend(changes::of_clients(&before, &after));
        let gone = before.backends().filter(|one| after.backends().all(|other| other.id() != one.id()));
        let gone: Vec<Arc<Backend>> = gone.map(Arc::clone).collect();
        self.live.set(after);
        for backend in gone {
            self.transport.forget(&backend);
        }
        let summary = if changes.is_empty() { "nothing has changed".to_owned() } else { changes.join(", ") };
        event(Info, "reload", "configuration reloaded", &[("changes", &summary)]);
        summary
    }
}

/// What is bound at the start stays as it is; answers the fields whose change has no effect.
fn keep_what_needs_a_restart(config: &mut Config, running: &Config) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut keep = |field, differs: bool| {
        if differs {
            fields.push(field);
        }
    };
    keep("listen", config.listen != running.listen);
    keep("workers", config.workers != running.workers);
    keep("front", config.front != running.front);
    keep("proxy_protocol", config.proxy_protocol != running.proxy_protocol);
    keep("admin", config.admin != running.admin);
    let listens = |config: &Config| config.tls.as_ref().map(|tls| tls.listen);
    keep("tls.listen", listens(config) != listens(running));
    config.listen = running.listen;
    config.workers = running.workers;
    config.front = running.front;
    config.proxy_protocol = running.proxy_protocol;
    config.admin.clone_from(&running.admin);
    match (&mut config.tls, &running.tls) {
        (Some(tls), Some(running)) => tls.listen = running.listen,
        (tls, running) => tls.clone_from(running),
    }
    fields
}

/// Pools of this configuration; backends that `previous` has in the pool of the same name are taken over.
pub fn build(config: Config, previous: Option<&Live>) -> Live {
    let policy = Arc::new(Policy::new(&config));
    let now = Instant::now();
    let pool = |pool: &PoolConfig| {
        let known = previous.and_then(|live| live.pools().iter().find(|it| it.config().name == pool.name));
        let backends = pool.backends.iter().map(|backend| {
            let stays = known.and_then(|pool| pool.backends().iter().find(|it| it.is_meant_by(backend)));
            match stays {
                Some(stays) => {
                    stays.reconfigure(backend, now);
                    Arc::clone(stays)
                }
                None => Arc::new(Backend::new(backend.clone())),
            }
        });
        Pool::new(pool.clone(), backends.collect(), balance::balancer(pool.algorithm), Arc::clone(&policy))
    };
    let pools = config.all_pools().map(pool).collect();
    let live = Live::new(config, pools);
    match previous {
        Some(previous) => live.after(previous),
        None => live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Config {
        parse(text, &Overrides::default()).unwrap()
    }

    #[test]
    fn a_backend_that_stays_keeps_its_counters_and_takes_its_new_weight() {
        let before = build(config(r#"{"backends":[{"url":"http://a"},{"url":"http://b"}]}"#), None);
        let text = r#"{"backends":[{"url":"http://b","weight":5},{"url":"http://c"}]}"#;
        let after = build(config(text), Some(&before));
        let backends = after.default_pool().backends();
        assert!(Arc::ptr_eq(&backends[0], &before.default_pool().backends()[1]));
        assert_eq!((backends[0].weight(), backends[1].name()), (5, "http://c"));
    }

    #[test]
    fn what_is_bound_at_the_start_stays() {
        let running = config(r#"{"listen":"127.0.0.1:1","workers":3}"#);
        let mut new = config(r#"{"listen":"127.0.0.1:2","workers":4,"slow_start":"1s"}"#);
        assert_eq!(keep_what_needs_a_restart(&mut new, &running), ["listen", "workers"]);
        assert_eq!((new.listen, new.workers), (running.listen, 3));
        assert_ne!(new.slow_start, running.slow_start);
    }
}
