//! The structure that ARCHITECTURE.md draws, read off the source: imports only point down, each foreign
//! library is named in one place, and what must not be done in a place is not done there.

#![allow(clippy::unwrap_used)]

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom. Inside layer 1, `pool` asks a trait that `balance` provides.
const LAYERS: [&[&str]; 6] = [
    &[
        "http",
        "config",
        "logging",
        "shutdown",
        "watch",
        "histogram",
        "traffic",
        "client_side",
        "duplex",
        "readiness",
        "supervised",
        "sync",
        "http_stream",
    ],
    &["pool", "balance", "metrics", "explain", "rules"],
    &["frontend", "transport", "tls"],
    &["proxy"],
    &[
        "app",
        "cli",
        "workers",
        "health_checker",
        "names",
        "descriptors",
        "reload",
        "renewal",
        "service_manager",
        "endpoints",
        "middleware",
    ],
    &["demo", "replay", "convert", "drill", "check", "http_client", "client_commands"],
];

struct Source {
    path: PathBuf,
    /// First part of its path below `src`.
    module: String,
    /// Without tests and comments.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let is_test =
        |path: &Path| path.ends_with("tests.rs") || path.ends_with("fakes.rs") || path.ends_with("laws.rs");
    files.retain(|path| !is_test(path));
    files.into_iter().map(|path| source(&root, path)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn source(root: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).unwrap();
    let ends = ["#[cfg(test)]\nmod tests", "#[cfg(test)]\npub(crate) mod tests", "#[cfg(all(test"];
    let text = ends.iter().fold(text.as_str(), |text, end| text.split(end).next().unwrap());
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let relative = path.strip_prefix(root).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    Source { module: first.trim_end_matches(".rs").to_owned(), path, code }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Modules of ours that a text names: `crate::NAME` and `crate::{NAME::…, NAME}`.
fn named_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(list) => names.extend(list.split('}').next().unwrap().split(',').map(first_word)),
            None => names.push(first_word(part)),
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_module_has_a_layer() {
    for source in sources() {
        let known = layer(&source.module).is_some() || matches!(source.module.as_str(), "lib" | "main");
        assert!(known, "{} has no layer", source.path.display());
    }
}

#[test]
fn imports_only_point_down() {
    for source in sources() {
        let Some(own) = layer(&source.module) else { continue };
        for named in named_modules(&source.code) {
            let other = layer(&named).unwrap_or(0);
            assert!(other <= own, "{} (layer {own}) names {named} (layer {other})", source.path.display());
            let sideways = matches!(
                (source.module.as_str(), named.as_str()),
                ("frontend", "transport")
                    | ("transport", "frontend")
                    | ("pool", "balance")
                    | ("pool", "metrics")
            );
            assert!(!sideways, "{} names {named}", source.path.display());
        }
    }
}

/// The word occurs in these modules or files and nowhere else.
fn only_in(word: &str, places: &[&str]) {
    for source in sources().iter().filter(|source| source.code.contains(word)) {
        let path = source.path.to_string_lossy();
        let allowed = places.iter().any(|place| source.module == *place || path.ends_with(place));
        assert!(allowed, "{path} has {word:?}");
    }
}

#[test]
fn each_library_has_its_folder() {
    only_in("tiny_http::", &["frontend"]);
    only_in("ureq", &["transport", "client_commands"]);
    only_in("httpdate", &["frontend"]);
    only_in("signal_hook", &["shutdown"]);
    only_in("simplelog", &["logging"]);
    only_in("simple_dns", &["names"]);
    only_in("resolv_conf", &["names"]);
    only_in("regex::", &["config", "rules", "convert/expression.rs"]);
    only_in("saphyr_parser", &["convert"]);
    only_in("bcrypt::", &["middleware/login.rs", "config/htpasswd.rs"]);
    only_in("rustls", &["tls"]);
    only_in("httparse", &["demo", "frontend", "transport"]);
    only_in("std::env::var", &["cli"]);
    only_in("unsafe", &["frontend/tiny/socket.rs"]);
}

#[test]
fn what_decides_has_no_clock_no_threads_and_no_sockets() {
    for source in sources() {
        let decides =
            layer(&source.module).is_some_and(|layer| layer <= 1) || source.path.ends_with("retry.rs");
        if !decides || matches!(source.module.as_str(), "logging" | "shutdown" | "supervised") {
            continue;
        }
        for word in ["Instant::now", "SystemTime::now", "thread::", "TcpStream", "UdpSocket"] {
            assert!(!source.code.contains(word), "{} has {word:?}", source.path.display());
        }
    }
}

#[test]
fn no_file_is_a_maze() {
    for source in sources() {
        let lines = source.code.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", source.path.display());
    }
}

#[test]
fn no_files_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = |file: Source| (file.path.strip_prefix(&root).unwrap().display().to_string(), file.code);
    let files: Vec<_> = sources().into_iter().filter(|file| file.module != "main").map(named).collect();
    let circles = circles::Tree::new(files).circles();
    assert!(circles.is_empty(), "imports that come back, see ARCHITECTURE.md:\n{}", circles.join("\n"));
}

#[test]
fn every_file_is_compiled() {
    for root in ["src", "tests/e2e"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        let mut files = Vec::new();
        collect(&root, &mut files);
        for file in files.iter().filter(|file| !file.ends_with("lib.rs") && !file.ends_with("main.rs")) {
            let module = if file.ends_with("mod.rs") { file.parent().unwrap() } else { file };
            let (name, folder) = (module.file_stem().unwrap().to_str().unwrap(), module.parent().unwrap());
            let parents = ["lib.rs", "main.rs", "mod.rs"].map(|parent| folder.join(parent));
            let named = |parent: &PathBuf| {
                let text = fs::read_to_string(parent).unwrap_or_default();
                text.lines().any(|line| line.trim().ends_with(&format!("mod {name};")))
            };
            let beside = folder.with_extension("rs");
            assert!(parents.iter().chain([&beside]).any(named), "nobody names {}", file.display());
        }
    }
}
