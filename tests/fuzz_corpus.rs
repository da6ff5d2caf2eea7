//! Every input that fuzzing started from or ever found goes through its property again, on the stable
//! compiler and without libFuzzer. CONTRIBUTING.md says how to fuzz and how a found input gets here.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod properties;

use properties::TARGETS;

/// Fewer files than this are not a corpus.
const FEWEST_FILES: usize = 10;

fn in_fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(folder: &str) -> BTreeSet<String> {
    entries(&in_fuzz(folder))
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_input_keeps_its_property() {
    let mut broken = Vec::new();
    for (name, property) in TARGETS {
        let files = entries(&in_fuzz("corpus").join(name));
        assert!(files.len() >= FEWEST_FILES, "only {} files in the corpus of {name}", files.len());
        for file in files {
            let input = fs::read(&file).unwrap();
            // What went wrong is on standard error; the file's name is in the message at the end.
            if catch_unwind(|| property(&input)).is_err() {
                broken.push(file.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "broken by {broken:#?}");
}

#[test]
fn every_property_has_its_target_and_its_corpus() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, stems("fuzz_targets"));
    assert_eq!(names, stems("corpus"));
    let manifest = fs::read_to_string(in_fuzz("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}
