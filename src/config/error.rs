//! What is wrong with a configuration, for the person who has to put it right: all of it at once,
//! each mistake with its field, its line and what would be right.

use std::fmt;
use std::path::Path;

use super::Config;

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The field, `backends[1].url`; the variable or flag where the value came from one; empty where
    /// the mistake is the whole file's.
    pub path: String,
    /// Line of the file, from 1; `None` where no line of the file is at fault.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Every mistake of a configuration, in the file's order. Never empty.
///
/// `Display` writes a line for each, without a newline after the last.
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

    /// A mistake that is the file's as a whole: unreadable, too large.
    pub(super) fn whole_file(file: &str, message: String) -> ConfigErrors {
        ConfigErrors::new(vec![Mistake { path: file.to_string(), line: None, message }])
    }

    /// Of fields whose files can't be used.
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

    /// Names of files in the rest are meant from this folder.
    pub(super) fn find_files_from(&mut self, folder: &Path) {
        if let Some(rest) = &mut self.rest {
            rest.find_files_from(folder);
        }
    }

    /// What could be read all the same, with defaults where the mistakes are: never to be used, but what else is
    /// wrong with it can be told together with them.
    pub fn rest(&self) -> Option<&Config> {
        self.rest.as_deref()
    }

    /// Each mistake, in the file's order; those of variables and flags come last.
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

/// Longest piece of a file that a message repeats, in characters.
const SHOWN_CHARS: usize = 80;

/// `text` in quotes as a message shows it: escaped, so that it can't break the line, and clipped.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

/// The start of `text`, with a mark where something was left out.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// From this likeness on a wrong name is taken for a misspelt one; "tcp" for "http" is below it.
pub(super) const MISSPELT: f64 = 0.8;

/// The one of `names` that is most like `text`, and how like it is, from 0 to 1.
pub(super) fn nearest(text: &str, names: impl Iterator<Item = &'static str>) -> (&'static str, f64) {
    // The cost grows with the product of both lengths, and nobody misspells at such length.
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
