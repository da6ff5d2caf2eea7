//! What all readers share: their bounds, and how files are read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Of all files together.
pub const MOST_BYTES: u64 = 4 << 20;
/// Blocks within blocks, and files within files.
pub const MOST_DEPTH: usize = 32;
/// Directives of all files, with what snippets and aliases make of them.
pub const MOST_DIRECTIVES: usize = 20_000;
/// Routes of a whole configuration.
pub const MOST_ROUTES: usize = 2_000;

/// A file's text, up to [`MOST_BYTES`]; only of regular files, for others may never end.
///
/// # Errors
/// In words, with its name.
pub fn read_file(path: &Path) -> Result<String, String> {
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let file = File::open(path).map_err(|why| named(&why))?;
    if !file.metadata().is_ok_and(|it| it.is_file()) {
        return Err(named(&"not a regular file"));
    }
    text_of(file).map_err(|why| named(&why))
}

/// All that comes, up to [`MOST_BYTES`].
///
/// # Errors
/// In words.
pub fn text_of(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|why| why.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}
