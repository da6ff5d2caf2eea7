//! `loadbalancer convert`: converts the configuration of another program and reports what became of each of
//! its lines. Reads files and sends nothing.

mod caddy;
mod defaults;
mod directive;
mod draft;
mod expression;
mod finish;
mod forwarded;
mod guard;
mod haproxy;
mod listen;
mod networks;
mod nginx;
mod order;
mod patterns;
mod quantity;
mod report;
mod terms;
mod text;
mod traefik;
mod tree;

use std::path::Path;

use serde_json::Value as Json;

use crate::cli::ConvertOptions;
use crate::config::{Mistake, Overrides, parse};
use report::{Report, Verdict};

/// The program that a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Nginx,
    Haproxy,
    Caddy,
    Traefik,
}

/// The result of a conversion.
#[derive(Debug)]
pub struct Converted {
    /// Our file, for standard output.
    pub config: String,
    /// The report, for standard error.
    pub report: String,
    /// Whether we can't express a part of the file.
    pub is_partial: bool,
}

/// Converts a file.
///
/// # Errors
/// What can't be read, with its line.
pub fn run(options: &ConvertOptions) -> Result<Converted, String> {
    let text = read(&options.file)?;
    let program = match &options.from {
        Some(name) => Program::named(name)?,
        None => Program::guess(&options.file, &text)?,
    };
    convert(&text, &options.file, program, options)
}

fn convert(text: &str, file: &Path, program: Program, options: &ConvertOptions) -> Result<Converted, String> {
    let release = options.release.as_deref().unwrap_or(program.release());
    let numbers = release_numbers(release)?;
    let mut report = Report::default();
    let draft = match program {
        Program::Nginx => nginx::convert(text, file, &numbers, &mut report)?,
        Program::Haproxy => haproxy::convert(text, file, &mut report)?,
        Program::Caddy => caddy::convert(text, file, &mut report)?,
        Program::Traefik => traefik::convert(text, file, &mut report)?,
    };
    let mut config = Json::Object(draft.finish(&mut report));
    // Caddy and HAProxy expand `${NAME}` from the environment as we do; in other programs' files it is
    // literal text.
    if matches!(program, Program::Nginx | Program::Traefik) {
        escape_variables(&mut config);
    }
    for (field, name) in finish::without_odd_names(&mut config) {
        let note = "left out: no field's name, or none that can be set";
        report.unsaid(&format!("{field}: {name}"), Verdict::NotHere, note);
    }
    let mut written = serde_json::to_string_pretty(&config).map_err(|why| why.to_string())?;
    written.push('\n');
    let is_empty = config.get("pools").is_none() && config["backends"].as_array().is_none_or(Vec::is_empty);
    if is_empty {
        report.unsaid(
            "no backends",
            Verdict::NotHere,
            "none was found in this file (labels of containers are not read)",
        );
    }
    // Mistakes found by our own reader are reported, so that the user can correct them at once.
    if let Err(mistakes) = parse(&written, &Overrides::default()) {
        let is_elsewhere = |it: &Mistake| {
            it.message.contains("is not set in the environment") || (is_empty && it.path == "backends")
        };
        for mistake in mistakes.mistakes().iter().filter(|it| !is_elsewhere(it)) {
            report.unsaid(
                &mistake.path,
                Verdict::NotHere,
                format!("to be mended in what was written: {}", mistake.message),
            );
        }
    }
    report.sort();
    let is_partial = report.count(Verdict::NotHere) > 0;
    let report = match options.report.as_deref() {
        Some("json") => format!("{}\n", report.json()),
        _ => format!("taken for {} {release}\n\n{}", program.name(), report.text()),
    };
    Ok(Converted { config: written, report, is_partial })
}

fn escape_variables(value: &mut Json) {
    match value {
        Json::String(text) if text.contains("${") => *text = text.replace("${", "$${"),
        Json::Array(list) => list.iter_mut().for_each(escape_variables),
        Json::Object(fields) => fields.values_mut().for_each(escape_variables),
        _ => {}
    }
}

/// Converts a text that is not in a file, such as a fuzzer's. `--from` must name the program.
///
/// # Errors
/// What can't be read, with its line.
pub fn text(text: &str, options: &ConvertOptions) -> Result<Converted, String> {
    let program = Program::named(options.from.as_deref().unwrap_or_default())?;
    convert(text, Path::new("-"), program, options)
}

fn read(file: &Path) -> Result<String, String> {
    match file.as_os_str() == "-" {
        true => text::text_of(std::io::stdin().lock()),
        false => text::read_file(file),
    }
}

fn release_numbers(release: &str) -> Result<Vec<u64>, String> {
    let numbers: Result<Vec<u64>, _> = release.trim_start_matches('v').split('.').map(str::parse).collect();
    numbers.map_err(|_| format!("--release {release:?} is no release; write one such as 1.31.3"))
}

impl Program {
    fn named(name: &str) -> Result<Program, String> {
        match name {
            "nginx" => Ok(Program::Nginx),
            "haproxy" => Ok(Program::Haproxy),
            "caddy" => Ok(Program::Caddy),
            "traefik" => Ok(Program::Traefik),
            _ => Err(format!("--from {name:?} is not one of nginx, haproxy, caddy, traefik")),
        }
    }

    /// Guesses the program from the file's name, or else from words that only one program has.
    fn guess(file: &Path, text: &str) -> Result<Program, String> {
        let name =
            file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let first_words = || text.lines().filter_map(|line| line.split_whitespace().next());
        let is_haproxy = || {
            let heads = ["global", "defaults", "frontend", "backend", "listen"];
            text.lines().any(|line| heads.iter().any(|head| line.split_whitespace().next() == Some(head)))
                && first_words().any(|word| matches!(word, "bind" | "server" | "mode" | "default_backend"))
                && !text.contains(";\n")
        };
        match name.as_str() {
            "haproxy.cfg" => Ok(Program::Haproxy),
            "nginx.conf" => Ok(Program::Nginx),
            caddy if caddy.contains("caddyfile") => Ok(Program::Caddy),
            json if json.ends_with(".json") => Ok(Program::Caddy),
            yaml if yaml.ends_with(".yml") || yaml.ends_with(".yaml") => Ok(Program::Traefik),
            _ if text.contains("entryPoints:") || text.contains("routers:") => Ok(Program::Traefik),
            _ if is_haproxy() => Ok(Program::Haproxy),
            _ if !text.contains(';') && text.contains("reverse_proxy") => Ok(Program::Caddy),
            _ => Ok(Program::Nginx),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Program::Nginx => "nginx",
            Program::Haproxy => "HAProxy",
            Program::Caddy => "Caddy",
            Program::Traefik => "Traefik",
        }
    }

    fn release(self) -> &'static str {
        match self {
            Program::Nginx => nginx::RELEASE,
            Program::Haproxy => haproxy::RELEASE,
            Program::Caddy => caddy::RELEASE,
            Program::Traefik => traefik::RELEASE,
        }
    }
}

#[cfg(test)]
mod tests;
