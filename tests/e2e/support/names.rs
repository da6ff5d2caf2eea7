//! Names that lead where a test wants, and elsewhere a moment later, without touching the machine: a
//! small name service is compiled and loaded into the balancer in front of the C library's.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Run, skip};

/// What names under `.test` stand for.
pub struct Names {
    files: TempDir,
}

impl Names {
    /// With these lines of a name and its addresses. `None` where no C compiler is, or where the C
    /// library is not one whose lists of addresses can be joined; the test says so then.
    pub fn with(lines: &str) -> Option<Names> {
        let files = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/support/names.c");
        let library = library(files.path());
        let compiler =
            Command::new("cc").args(["-shared", "-fPIC", source, "-ldl", "-o"]).arg(library).status();
        if !cfg!(target_env = "gnu") || !compiler.is_ok_and(|status| status.success()) {
            skip("no C compiler for a name service, or not the GNU C library");
            return None;
        }
        let names = Names { files };
        names.are(lines);
        Some(names)
    }

    /// Replaces the lines.
    pub fn are(&self, lines: &str) {
        let new = self.files.path().join("new");
        std::fs::write(&new, lines).unwrap();
        std::fs::rename(new, self.files.path().join("names")).unwrap();
    }

    /// Lets this run look names up here.
    pub fn given_to(&self, run: Run) -> Run {
        let file = self.files.path().join("names");
        let library = library(self.files.path());
        run.env("LD_PRELOAD", library.to_str().unwrap()).env("TEST_NAMES", file.to_str().unwrap())
    }
}

fn library(folder: &Path) -> std::path::PathBuf {
    folder.join("names.so")
}
