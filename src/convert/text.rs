//! Limits for all readers, and reading of files.

use std::io::Read;
use std::path::Path;

use crate::config::read_regular;

/// Size limit for all files together.
pub const MOST_BYTES: u64 = 4 << 20;
/// Limit of nested blocks and of nested includes.
pub const MOST_DEPTH: usize = 32;
/// Limit of directives in all files, including copies from snippets and aliases.
pub const MOST_DIRECTIVES: usize = 20_000;
/// Limit of routes.
pub const MOST_ROUTES: usize = 2_000;

/// Reads a file up to [`MOST_BYTES`]. Only regular files, because others may never end.
///
/// # Errors
/// A message with the file's name.
pub fn read_file(path: &Path) -> Result<String, String> {
    let content = read_regular(path, MOST_BYTES + 1).and_then(|content| text_of(&content[..]));
    content.map_err(|why| format!("{}: {why}", path.display()))
}

/// Reads up to [`MOST_BYTES`].
///
/// # Errors
/// A message.
pub fn text_of(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|why| why.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}
