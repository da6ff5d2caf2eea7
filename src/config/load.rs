//! Loads the configuration: from a file or the defaults, then overrides from the environment and flags.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ConfigErrors;
use super::{Config, Variables, read_regular, remarks, resolve};

/// Size limit; reading stops here.
const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// Values that take precedence over the file, each with its source (`LB_ALGORITHM`, `--algorithm`), under
/// which mistakes are reported, and its text; and the variables for `${NAME}` in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Replaces `algorithm`.
    pub algorithm: Option<(String, String)>,
    /// Replaces `listen`.
    pub listen: Option<(String, String)>,
    /// The environment, for `${NAME}`.
    pub variables: Variables,
}

/// Reads and checks the file at `path`, or returns the built-in defaults without one. Relative file names in
/// it are resolved against its folder.
///
/// # Errors
///
/// All mistakes in the file and the overrides. A file that can't be read is one mistake with its name and the
/// system's error.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let Some(path) = path else { return parse("{}", overrides) };
    of_file(path, read(path), overrides).map(|(config, _)| config)
}

/// Like [`load`], for a running balancer: a pipe or a device is a mistake, because reading it might block
/// forever.
///
/// # Errors
///
/// As [`load`].
pub fn load_again(path: &Path, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    // One byte more, so that a file that is too large is reported in the same words.
    let text = read_regular(path, MOST_FILE_BYTES + 1).and_then(text_of);
    of_file(path, text, overrides).map(|(config, _)| config)
}

/// Like [`load`], for `check`: also returns remarks on the file. `-` means standard input, whose relative
/// file names are resolved against the working directory.
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

/// Whether relative file names are resolved against the folder of `path`. The folder of a pipe or of a
/// descriptor's name (`/dev/stdin`) has nothing to do with the configuration; then the working directory is
/// used.
fn is_file_of_its_folder(path: &Path) -> bool {
    let is_a_descriptor_s = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    path.is_file() && !is_a_descriptor_s
}

/// Checks the text of a configuration.
///
/// # Errors
///
/// All mistakes in the text and the overrides.
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
