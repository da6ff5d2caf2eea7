//! The output of a log: a standard stream, or a file to append to.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Readable only by owner and group: the log has clients' addresses and request targets.
const FILE_MODE: u32 = 0o640;

/// Opens a log for appending, creating the file if necessary.
///
/// # Errors
/// A message for operators: the file's name and what is wrong with it. Pipes are refused, since a pipe may
/// have no reader.
pub(super) fn open(path: &str) -> Result<File, String> {
    let fault = |error: io::Error| format!("{path}: cannot be written: {error}");
    check(path)?;
    // The file may have been replaced by a pipe since; opening one would block without this flag.
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    kind(path, &metadata).map(|()| file)
}

/// Whether a log can be written there, as far as that can be determined without creating the file.
///
/// # Errors
/// A message for operators: the file's name and what is wrong with it.
pub fn check(path: &str) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(metadata) => kind(path, &metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
            match folder.is_none_or(Path::is_dir) {
                true => Ok(()),
                false => Err(format!("{path}: there is no such folder; make it first")),
            }
        }
        Err(error) => Err(format!("{path}: cannot be written: {error}")),
    }
}

fn kind(path: &str, metadata: &Metadata) -> Result<(), String> {
    let kind = metadata.file_type();
    match kind.is_file() || kind.is_char_device() {
        true => Ok(()),
        false if kind.is_dir() => Err(format!("{path}: it is a directory; write a file's name")),
        false => Err(format!("{path}: it is no regular file; null writes to the standard stream")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_appended_to_and_what_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for line in ["one\n", "two\n"] {
            open(&path("log")).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path("log")).unwrap(), "one\ntwo\n");
        let pipe = path("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for (name, word) in [("pipe", "no regular file"), ("", "directory"), ("none/log", "no such folder")] {
            let error = open(&path(name)).unwrap_err();
            assert!(error.contains(word) && error.starts_with(&path(name)), "{error}");
        }
        assert!(check(&path("new")).is_ok() && !Path::new(&path("new")).exists());
    }
}
