//! Digests of a configuration's files, to notice changes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::config::{Config, read_regular};
use crate::tls;

/// A longer file is never loaded, so its changes don't matter.
const MOST_BYTES: u64 = 4 << 20;

/// The state of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// A digest of its content.
    Held(u64),
    /// The file does not exist.
    Missing,
    /// The file can't be read, and why: not a regular file, too long, no permission.
    Unreadable(String),
}

/// The states of some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<PathBuf, Mark>);

/// What has changed about the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Files that no longer exist.
    pub gone: BTreeSet<PathBuf>,
    /// Whether a reload would load any other change.
    pub is_to_be_loaded: bool,
}

impl Mark {
    fn of(file: &Path) -> Mark {
        match read_regular(file, MOST_BYTES) {
            Ok(bytes) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                Mark::Held(hasher.finish())
            }
            Err(_) if !file.exists() => Mark::Missing,
            Err(why) => Mark::Unreadable(why),
        }
    }
}

impl Marks {
    /// The current states of these files.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Marks {
        let mark = |file: PathBuf| {
            let mark = Mark::of(&file);
            (file, mark)
        };
        Marks(files.into_iter().map(mark).collect())
    }

    /// The current states of the files that this configuration names.
    pub fn of_files_named_in(config: &Config) -> Marks {
        let names = tls::files::names(config).into_iter().chain(config.named_file_names());
        Marks::of(names.map(PathBuf::from))
    }

    /// Adds the files that are not known yet.
    pub fn add(&mut self, others: Marks) {
        for (file, mark) in others.0 {
            self.0.entry(file).or_insert(mark);
        }
    }

    /// The current states of the same files.
    pub fn again(&self) -> Marks {
        Marks::of(self.0.keys().cloned())
    }

    /// Forgets all files but the configuration and those it names.
    pub fn retain(&mut self, named: &Marks, configuration: &Path) {
        self.0.retain(|file, _| file == configuration || named.0.contains_key(file));
    }

    /// Whether the file does not exist, or is not known.
    pub fn lacks(&self, file: &Path) -> bool {
        self.0.get(file).is_none_or(|mark| *mark == Mark::Missing)
    }

    /// Why this file exists but can't be read.
    pub fn problem_of(&self, file: &Path) -> Option<&str> {
        match self.0.get(file) {
            Some(Mark::Unreadable(why)) => Some(why),
            _ => None,
        }
    }

    /// How these differ from `loaded`. While the configuration file itself is missing there is nothing to
    /// load.
    pub fn since(&self, loaded: &Marks, configuration: &Path) -> Change {
        let changed = self.0.iter().filter(|(file, mark)| loaded.0.get(*file) != Some(mark));
        let (gone, others): (Vec<_>, Vec<_>) = changed.partition(|(file, _)| self.lacks(file));
        Change {
            gone: gone.into_iter().map(|(file, _)| file.clone()).collect(),
            is_to_be_loaded: !others.is_empty() && !self.lacks(configuration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_said_and_does_not_keep_others_from_being_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let put = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        ["config", "cert", "key"].iter().for_each(|name| put(name, name));
        let loaded = Marks::of(["config", "cert", "key"].map(path));
        let change = |gone: &[&str], is_to_be_loaded| Change {
            gone: gone.iter().map(|name| path(name)).collect(),
            is_to_be_loaded,
        };
        let found = || loaded.again().since(&loaded, &path("config"));
        assert_eq!(found(), change(&[], false));
        std::fs::remove_file(path("cert")).unwrap();
        assert_eq!(found(), change(&["cert"], false));
        put("config", "names another one");
        assert_eq!(found(), change(&["cert"], true));
        std::fs::remove_file(path("config")).unwrap();
        put("key", "another one");
        assert_eq!(found(), change(&["cert", "config"], false));
        put("config", "config");
        put("cert", "cert");
        assert_eq!(found(), change(&[], true));
        put("key", "key");
        assert_eq!(found(), change(&[], false));
    }

    #[test]
    fn pipes_and_devices_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let marks = Marks::of([pipe.clone(), PathBuf::from("/dev/zero")]);
        assert!(marks.problem_of(&pipe).is_some_and(|why| why.starts_with("not a regular file")));
        assert!(marks.problem_of(Path::new("/dev/zero")).is_some());
    }
}
