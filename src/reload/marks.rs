//! What the files of a configuration were like at some moment, to notice that one has changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::config::{Config, read_regular};
use crate::tls;

/// A file that is longer is never loaded, so it does not matter how it changes.
const MOST_BYTES: u64 = 4 << 20;

/// What one file was like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// A digest of what it held.
    Held(u64),
    /// There was no file.
    Missing,
    /// It can't be read, and why: no regular file, too long, not ours.
    Unreadable(String),
}

/// What each of some files was like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<PathBuf, Mark>);

/// What is to be done about files that are not as they were.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Files that were there and are gone.
    pub gone: BTreeSet<PathBuf>,
    /// Whether there is anything else that a reload would take in.
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
    /// What these are like now.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Marks {
        let mark = |file: PathBuf| {
            let mark = Mark::of(&file);
            (file, mark)
        };
        Marks(files.into_iter().map(mark).collect())
    }

    /// What the files that this configuration names are like now.
    pub fn of_files_named_in(config: &Config) -> Marks {
        let names = tls::files::names(config).into_iter().chain(config.named_file_names());
        Marks::of(names.map(PathBuf::from))
    }

    /// Takes these in that are not known yet.
    pub fn add(&mut self, others: Marks) {
        for (file, mark) in others.0 {
            self.0.entry(file).or_insert(mark);
        }
    }

    /// The same files, as they are now.
    pub fn again(&self) -> Marks {
        Marks::of(self.0.keys().cloned())
    }

    /// Forgets all but the configuration and the files that it names.
    pub fn retain(&mut self, named: &Marks, configuration: &Path) {
        self.0.retain(|file, _| file == configuration || named.0.contains_key(file));
    }

    /// Whether there is no such file, as far as is known.
    pub fn lacks(&self, file: &Path) -> bool {
        self.0.get(file).is_none_or(|mark| *mark == Mark::Missing)
    }

    /// Why this one can't be read, if there is such a file.
    pub fn problem_of(&self, file: &Path) -> Option<&str> {
        match self.0.get(file) {
            Some(Mark::Unreadable(why)) => Some(why),
            _ => None,
        }
    }

    /// How these differ from `loaded`. While the configuration itself is gone there is nothing to load.
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
