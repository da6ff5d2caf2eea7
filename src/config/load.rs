//! The one way in: a file, or none, then what the environment and the flags say.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ConfigErrors;
use super::{Config, Variables, read_regular, remarks, resolve};

/// Larger files are no configuration; reading stops here.
const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// What wins over the file: for each, where it came from (`LB_ALGORITHM`, `--algorithm`), under which
/// a mistake in it is reported, and its value as it was typed. And what `${NAME}` in the file stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Replaces `algorithm`.
    pub algorithm: Option<(String, String)>,
    /// Replaces `listen`.
    pub listen: Option<(String, String)>,
    /// The environment, for `${NAME}`.
    pub variables: Variables,
}

/// Reads and checks the file at `path`; without one, the built-in defaults. Names of files in it are
/// relative to its folder.
///
/// # Errors
///
/// Every mistake in the file and the overrides; a file that can't be read is one mistake, which
/// names it and what the system said.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let Some(path) = path else { return parse("{}", overrides) };
    of_file(path, read(path), overrides).map(|(config, _)| config)
}

/// The same for a balancer that runs, where nobody waits in front of it: a pipe or a device in the file's
/// place is a mistake, for it might be waited for without end.
///
/// # Errors
///
/// As [`load`].
pub fn load_again(path: &Path, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    // One more, so that a file that is too large is told in the same words.
    let text = read_regular(path, MOST_FILE_BYTES + 1).and_then(text_of);
    of_file(path, text, overrides).map(|(config, _)| config)
}

/// The same for somebody who looks at a configuration, with remarks on what it says; `-` is standard
/// input, and names of files in that are relative to the working directory.
///
/// # Errors
///
/// As [`load`].
pub fn look_over(path: Option<&Path>, overrides: &Overrides) -> Result<(Config, Vec<String>), ConfigErrors> {
    match path {
        None => parse("{}", overrides).map(|config| (config, Vec::new())),
        Some(path) if path == Path::new("-") => {
            let mut bytes = Vec::new();
            let input = io::stdin().lock().take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes);
            let text = input.map_err(unreadable).and_then(|_| text_of(bytes));
            of_file(Path::new("standard input"), text, overrides)
        }
        Some(path) => of_file(path, read(path), overrides),
    }
}

fn of_file(
    path: &Path,
    text: Result<String, String>,
    overrides: &Overrides,
) -> Result<(Config, Vec<String>), ConfigErrors> {
    let name = path.display().to_string();
    let text = text.map_err(|message| ConfigErrors::whole_file(&name, message))?;
    let folder = path.parent().filter(|_| is_file_of_its_folder(path)).unwrap_or(Path::new(""));
    let mut config = match parse(&text, overrides) {
        Ok(config) => config,
        Err(mut mistakes) => {
            mistakes.find_files_from(folder);
            return Err(mistakes.in_file(&name));
        }
    };
    let remarks = remarks::of(&text, &config);
    config.find_files_from(folder);
    match config.read_named_files() {
        Ok(()) => Ok((config, remarks)),
        Err(problems) => Err(ConfigErrors::of_files(problems).in_file(&name).with_rest(config)),
    }
}

/// Whether names in it are relative to its folder. That of a pipe, or of a descriptor's name (`/dev/stdin`), is the
/// system's and has nothing to do with it; there it is the working directory.
fn is_file_of_its_folder(path: &Path) -> bool {
    let is_a_descriptor_s = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    path.is_file() && !is_a_descriptor_s
}

/// Checks a configuration's text.
///
/// # Errors
///
/// Every mistake in the text and the overrides.
pub fn parse(text: &str, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    resolve::resolve(text, overrides)
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    text_of(bytes)
}

fn unreadable(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MOST_FILE_BYTES {
        return Err("larger than 1 MiB, which no configuration is".to_string());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        format!("not UTF-8 text (at byte {valid}); save it as UTF-8")
    })
}
