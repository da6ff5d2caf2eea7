//! The pid file, for scripts that send signals. The number stays the same through renewals, since the process
//! that was started first passes signals on.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;

use log::Level::Warn;

use crate::logging::event;

/// A pid file; removed when dropped, unless another process has written it since.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file, replacing that of an earlier process.
    pub fn write(path: PathBuf) -> io::Result<PidFile> {
        put(&path)?;
        Ok(PidFile(path))
    }

    fn tell(&self, what: &str, error: &io::Error) {
        event(Warn, "app", what, &[("file", &self.0.display()), ("error", error)]);
    }
}

/// Writes a temporary file and renames it, so that readers never see a partial file.
fn put(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(known) if !known.is_file() => return Err(io::Error::other("not a regular file")),
        _ => {}
    }
    let next = beside(path);
    let written = fs::write(&next, format!("{}\n", process::id())).and_then(|()| fs::rename(&next, path));
    if written.is_err() {
        let _ = fs::remove_file(&next);
    }
    written
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let is_ours = fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == process::id().to_string());
        if !is_ours {
            return;
        }
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                self.tell("the pid file could not be removed", &error);
            }
            _ => {}
        }
    }
}

/// The temporary file is in the same folder, because a rename can't cross file systems.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_while_it_is_ours_and_left_alone_when_it_is_another_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lb.pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::write(path.clone()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(path.clone()).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PidFile::write(folder.path().to_owned()).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(PidFile::write(link.clone()).is_err());
        assert!(link.is_symlink());
        assert!(PidFile::write(folder.path().join("no/such/folder.pid")).is_err());
    }
}
