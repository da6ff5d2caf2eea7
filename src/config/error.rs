//! The mistakes of a configuration, for the person who corrects it: all at once, each with its field, its
//! line and what would be right.

use std::fmt;
use std::path::Path;

use super::Config;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The field, such as `backends[1].url`, or the variable or flag that the value came from; empty if the
    /// mistake concerns the whole file.
    pub path: String,
    /// Line of the file, from 1; `None` if the mistake has no line.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All mistakes of a configuration, in the file's order. Never empty.
///
/// `Display` writes one line for each, without a newline after the last.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigErrors {
    file: Option<String>,
    mistakes: Vec<Mistake>,
    /// See [`ConfigErrors::rest`].
    rest: Option<Box<Config>>,
}

impl ConfigErrors {
    pub(super) fn new(mistakes: Vec<Mistake>) -> ConfigErrors {
        ConfigErrors { file: None, mistakes, rest: None }
    }

    /// A mistake of the file as a whole: unreadable or too large.
    pub(super) fn whole_file(file: &str, message: String) -> ConfigErrors {
        ConfigErrors::new(vec![Mistake { path: file.to_string(), line: None, message }])
    }

    /// Mistakes of fields whose files can't be used.
    pub(super) fn of_files(problems: Vec<(String, String)>) -> ConfigErrors {
        let mistake = |(path, message)| Mistake { path, line: None, message };
        ConfigErrors::new(problems.into_iter().map(mistake).collect())
    }

    pub(super) fn in_file(self, file: &str) -> ConfigErrors {
        ConfigErrors { file: Some(file.to_string()), ..self }
    }

    pub(super) fn with_rest(self, config: Config) -> ConfigErrors {
        ConfigErrors { rest: Some(Box::new(config)), ..self }
    }

    /// Resolves relative file names of [`ConfigErrors::rest`] against this folder.
    pub(super) fn find_files_from(&mut self, folder: &Path) {
        if let Some(rest) = &mut self.rest {
            rest.find_files_from(folder);
        }
    }

    /// The rest of the configuration, with defaults in place of the mistakes. Must not be used to serve; it
    /// allows further checks to be reported together with the mistakes.
    pub fn rest(&self) -> Option<&Config> {
        self.rest.as_deref()
    }

    /// The mistakes in the file's order; those of variables and flags come last.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    fn write_mistake(&self, f: &mut fmt::Formatter<'_>, mistake: &Mistake) -> fmt::Result {
        match (&self.file, mistake.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (_, None) => {}
        }
        if !mistake.path.is_empty() {
            write!(f, "{}: ", mistake.path)?;
        }
        f.write_str(&mistake.message)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.write_mistake(f, mistake)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Longest part of a file that a message shows, in characters.
const SHOWN_CHARS: usize = 80;

/// `text` in quotes for a message: escaped, so that it stays on one line, and clipped.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

/// The start of `text`, with a mark if something was left out.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Similarity from which an unknown name counts as misspelt; that of "tcp" and "http" is lower.
pub(super) const MISSPELT: f64 = 0.8;

/// The one of `names` that is most similar to `text`, with the similarity from 0 to 1.
pub(super) fn nearest(text: &str, names: impl Iterator<Item = &'static str>) -> (&'static str, f64) {
    // Clipped, because the cost grows with the product of both lengths.
    let text = clipped(text);
    let likeness = names.map(|name| (name, strsim::jaro_winkler(&text, name)));
    likeness.max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(path: &str, line: Option<usize>) -> Mistake {
        Mistake { path: path.to_string(), line, message: "is wrong".to_string() }
    }

    #[test]
    fn a_mistake_is_one_line_with_file_line_and_field() {
        let errors = ConfigErrors::new(vec![
            mistake("backends[1].url", Some(7)),
            mistake("", Some(9)),
            mistake("LB_LISTEN", None),
        ]);
        assert_eq!(
            errors.clone().in_file("config.json").to_string(),
            "config.json:7: backends[1].url: is wrong\nconfig.json:9: is wrong\nLB_LISTEN: is wrong"
        );
        assert_eq!(
            errors.to_string(),
            "line 7: backends[1].url: is wrong\nline 9: is wrong\nLB_LISTEN: is wrong"
        );
    }

    #[test]
    fn what_a_message_repeats_is_escaped_and_clipped() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert_eq!(clipped(&"ä".repeat(81)), format!("{}…", "ä".repeat(80)));
        assert_eq!(clipped(&"ä".repeat(80)), "ä".repeat(80));
    }
}
