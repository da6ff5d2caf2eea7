//! The thread that watches the configuration file and the files that it names, and reloads when one has
//! changed.
//!
//! It reads the files every half second and compares them with the last reload. That detects writes in place,
//! renames, swapped symbolic links and bind mounts, some of which kernel notifications miss. A change must be
//! seen twice before it counts, so that a half-written file is not loaded, and a file that is just being
//! replaced is not reported as missing.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::Level::{Info, Warn};

use super::Reloader;
use super::marks::Marks;
use crate::logging::event;
use crate::shutdown::ShutdownSignal;
use crate::supervised;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The stack of a thread that reads small files and builds configurations.
const STACK_BYTES: usize = 512 << 10;

/// What the thread remembers between two looks.
pub(super) struct Watcher {
    configuration: PathBuf,
    seen: Marks,
    /// Files already reported as missing.
    gone: BTreeSet<PathBuf>,
}

/// Starts the thread, if there is a file to watch.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(reloader: Arc<Reloader>, shutdown: ShutdownSignal) -> io::Result<()> {
    let Some(file) = reloader.file() else { return Ok(()) };
    let mut watcher = Watcher::new(file.path.clone(), reloader.loaded());
    if let Some(why) = reloader.loaded().problem_of(&file.path) {
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("file", &file.path.display()), ("is", &why)];
        event(Warn, "reload", "the configuration can't be watched", &fields);
    }
    let work = move || {
        while !shutdown.wait(PAUSE) {
            if watcher.look(&reloader.loaded()) {
                // Its mistakes have been logged.
                let _ = reloader.reload();
            }
        }
    };
    supervised::start("reload", STACK_BYTES, work)
}

impl Watcher {
    /// Watches this file and those that were `loaded` with it.
    pub fn new(configuration: PathBuf, loaded: Marks) -> Watcher {
        Watcher { configuration, seen: loaded, gone: BTreeSet::new() }
    }

    /// Reads all files; returns whether there is something to load. Reports missing files once each.
    pub fn look(&mut self, loaded: &Marks) -> bool {
        let now = loaded.again();
        if now != self.seen {
            self.seen = now;
            return false;
        }
        let change = now.since(loaded, &self.configuration);
        self.tell(change.gone);
        change.is_to_be_loaded
    }

    fn tell(&mut self, gone: BTreeSet<PathBuf>) {
        for file in gone.difference(&self.gone) {
            event(
                Warn,
                "reload",
                "a file is gone; what it held stays in force",
                &[("file", &file.display())],
            );
        }
        for file in self.gone.iter().filter(|file| !self.seen.lacks(file)) {
            event(Info, "reload", "a file that was gone is back", &[("file", &file.display())]);
        }
        self.gone.extend(gone);
        self.gone.retain(|file| self.seen.lacks(file));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Overrides, load};
    use crate::logging::Logs;
    use crate::pool::{Backend, SharedLive};
    use crate::reload::{ConfigFile, build};
    use crate::service_manager::ServiceManager;
    use crate::transport::{AttemptError, BackendReply, Outgoing, Transport};

    fn file_for(port: u16) -> String {
        format!(r#"{{ "backends": [ {{ "url": "http://127.0.0.1:{port}" }} ] }}"#)
    }

    /// Writes another configuration while a reload closes a backend's connections.
    struct Meddler(PathBuf);

    impl Transport for Meddler {
        fn send(&self, _: &Backend, _: Outgoing<'_>) -> Result<BackendReply, AttemptError> {
            unreachable!("nobody asks")
        }
        fn forget(&self, backend: &Backend) {
            if backend.name() == "http://127.0.0.1:1" {
                std::fs::write(&self.0, file_for(3)).unwrap();
            }
        }
        fn tidy(&self) {}
    }

    fn reloader(path: &Path) -> Reloader {
        let file = ConfigFile::new(path.to_owned(), Overrides::default());
        let config = load(Some(path), &Overrides::default()).unwrap();
        let live = Arc::new(SharedLive::new(build(config, None)));
        let manager = Arc::new(ServiceManager::default());
        Reloader::new(
            Some(file),
            live,
            Arc::new(Meddler(path.to_owned())),
            manager,
            Arc::new(Logs::start(false)),
            Arc::default(),
        )
    }

    #[test]
    fn what_changes_during_a_reload_is_loaded_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, file_for(1)).unwrap();
        let reloader = reloader(&path);
        let mut watcher = Watcher::new(path.clone(), reloader.loaded());
        let mut looks = || [watcher.look(&reloader.loaded()), watcher.look(&reloader.loaded())];
        let backend = || reloader.live.get().default_pool().backends()[0].name().to_owned();
        assert_eq!(looks(), [false, false]);
        std::fs::write(&path, file_for(2)).unwrap();
        assert_eq!(looks(), [false, true]);
        reloader.reload().unwrap();
        assert_eq!(backend(), "http://127.0.0.1:2");
        assert_eq!(looks(), [false, true], "it was changed in between");
        reloader.reload().unwrap();
        assert_eq!(backend(), "http://127.0.0.1:3");
        assert_eq!(looks(), [false, false]);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn what_changes_beside_a_file_with_a_mistake_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ca) = (folder.path().join("config.json"), folder.path().join("ca.pem"));
        let root = || rcgen::generate_simple_self_signed(["root".to_owned()]).unwrap().cert.pem();
        let right =
            format!(r#"{{ "backends": [ {{ "url": "https://127.0.0.1:9", "ca": "{}" }} ] }}"#, ca.display());
        std::fs::write(&ca, root()).unwrap();
        std::fs::write(&path, &right).unwrap();
        let reloader = reloader(&path);
        reloader.reload().unwrap();
        let mut watcher = Watcher::new(path.clone(), reloader.loaded());
        let mut looks = || [watcher.look(&reloader.loaded()), watcher.look(&reloader.loaded())];
        std::fs::write(&path, "{").unwrap();
        assert_eq!(looks(), [false, true]);
        reloader.reload().unwrap_err();
        std::fs::write(&ca, root()).unwrap();
        assert_eq!(looks(), [false, true]);
        reloader.reload().unwrap_err();
        assert_eq!(looks(), [false, false], "nothing has changed since");
        std::fs::remove_file(&ca).unwrap();
        std::fs::write(&path, &right).unwrap();
        assert_eq!(looks(), [false, true]);
        reloader.reload().unwrap_err();
        assert_eq!(looks(), [false, false]);
        std::fs::write(&ca, root()).unwrap();
        assert_eq!(looks(), [false, true], "what was missing is read");
        reloader.reload().unwrap();
        assert_eq!(looks(), [false, false]);
    }

    #[test]
    fn a_reload_by_hand_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, file_for(7)).unwrap();
        let reloader = reloader(&path);
        let mut watcher = Watcher::new(path.clone(), reloader.loaded());
        for wrong in [file_for(8), "{".to_owned()] {
            std::fs::write(&path, wrong).unwrap();
            let _ = reloader.reload();
            assert!(!watcher.look(&reloader.loaded()) && !watcher.look(&reloader.loaded()));
        }
    }
}
