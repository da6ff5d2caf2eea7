//! Files named in a configuration: resolving their names, and reading them without blocking on a pipe or
//! reading without end.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{Config, NamedFile};

/// Size limit for files whose content is a part of the configuration.
const MOST_NAMED_BYTES: u64 = 1 << 20;

impl Config {
    /// Resolves relative file names against this folder, which is the configuration file's: the meaning of a
    /// file must not depend on the working directory.
    pub(super) fn find_files_from(&mut self, folder: &Path) {
        self.named_files().for_each(|(_, file)| absolute(&mut file.name, folder));
        let certificates = self.tls.iter_mut().flat_map(|tls| &mut tls.certificates);
        let pairs = certificates.flat_map(|pair| [&mut pair.certificate, &mut pair.private_key]);
        let pools = std::iter::once(&mut self.default_pool).chain(&mut self.pools);
        let roots = pools.flat_map(|pool| &mut pool.backends).filter_map(|backend| backend.ca.as_mut());
        let services = self.routes.iter_mut().filter_map(|route| route.access.forward_auth.as_mut());
        let roots = roots.chain(services.filter_map(|service| service.ca.as_mut()));
        let logs = self.access_log.file.iter_mut().chain(&mut self.event_log.file);
        // An empty name is a mistake that was already reported.
        for name in pairs.chain(roots).chain(logs).filter(|name| !name.is_empty()) {
            absolute(name, folder);
        }
    }

    /// Files whose content is a part of the configuration, each with its field.
    fn named_files(&mut self) -> impl Iterator<Item = (String, &mut NamedFile)> {
        let of = |path: String, (field, file): (String, _)| match path.is_empty() {
            true => (field, file),
            false => (format!("{path}.{field}"), file),
        };
        let top = self.local.files();
        let pools = self.pools.iter_mut().flat_map(move |pool| {
            let path = format!("pools.{}", pool.name);
            pool.local.files().map(move |it| of(path.clone(), it))
        });
        let routes = self.routes.iter_mut().enumerate().flat_map(move |(number, route)| {
            route.files().map(move |it| of(format!("routes[{number}]"), it))
        });
        top.chain(pools).chain(routes)
    }

    /// The names of the files whose content is a part of the configuration.
    pub fn named_file_names(&self) -> Vec<String> {
        self.clone().named_files().map(|(_, file)| file.name.clone()).collect()
    }

    /// The fields that name the same file as in `before`, whose content is another one.
    pub fn fields_of_changed_files(&self, before: &Config) -> Vec<String> {
        let (mut before, mut after) = (before.clone(), self.clone());
        let known: Vec<(String, &mut NamedFile)> = before.named_files().collect();
        let differs = |(field, file): &(String, &mut NamedFile)| {
            let is_it = |(name, old): &&(String, &mut NamedFile)| name == field && old.name == file.name;
            known.iter().find(is_it).is_some_and(|(_, old)| old.content != file.content)
        };
        after.named_files().filter(differs).map(|(field, _)| field).collect()
    }

    /// Reads the files whose content is a part of the configuration.
    ///
    /// # Errors
    /// Each field whose file can't be used, and why.
    pub(super) fn read_named_files(&mut self) -> Result<(), Vec<(String, String)>> {
        let mut problems = Vec::new();
        for (field, file) in self.named_files() {
            let content = read_regular(Path::new(&file.name), MOST_NAMED_BYTES);
            let content = content.and_then(|content| match field.ends_with("basic_auth.users") {
                true => super::htpasswd::users(&content).map(|_| content),
                false => Ok(content),
            });
            match content {
                Ok(content) => file.content = Arc::from(content),
                Err(why) => problems.push((field, format!("{}: {why}", file.name))),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Makes a name absolute, so that it means the same file in other processes, such as those of the drill.
fn absolute(name: &mut String, folder: &Path) {
    let found = folder.join(&*name);
    *name = std::path::absolute(&found).unwrap_or(found).display().to_string();
}

/// Reads a regular file completely. Pipes and devices are refused without opening them: reading a pipe may
/// block, and a device may have no end.
///
/// # Errors
/// A message for operators: the system's error, or that the file is not regular or longer than `most_bytes`.
pub fn read_regular(path: &Path, most_bytes: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let is_regular = |metadata: &std::fs::Metadata| match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err("cannot be read: it is a directory".to_owned()),
        _ => Err("not a regular file; write a file's name, not a pipe's or a device's".to_owned()),
    };
    is_regular(&std::fs::metadata(path).map_err(unreadable)?)?;
    // The file may have been replaced by a pipe since; opening one would block without this flag.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    is_regular(&file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 > most_bytes {
        true => Err(format!("larger than {most_bytes} bytes")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_a_bounded_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_regular(&path, 4), Ok(b"four".to_vec()));
        assert_eq!(read_regular(&path, 3), Err("larger than 3 bytes".to_owned()));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for special in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read_regular(special, 4).unwrap_err();
            assert!(error.starts_with("not a regular file"), "{error}");
        }
        assert!(read_regular(folder.path(), 4).unwrap_err().contains("directory"));
        assert!(read_regular(&folder.path().join("none"), 4).unwrap_err().contains("No such file"));
    }
}
