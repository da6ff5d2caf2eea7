//! Parses nginx's syntax: words, blocks and includes. Limited in depth, size and number.

use std::path::{Path, PathBuf};

use super::tokens::{Token, Tokens};
use crate::convert::directive::Directive;
use crate::convert::patterns::matching;
use crate::convert::report::Place;
use crate::convert::text::{MOST_BYTES, MOST_DEPTH, MOST_DIRECTIVES, read_file};

/// Why a file can't be read, with its line.
type Fault = String;

/// The state of reading, over all files.
struct Reader {
    root: PathBuf,
    bytes: u64,
    directives: usize,
    missing: Vec<(Place, String)>,
}

/// A configuration, and its includes that were not found.
#[derive(Debug)]
pub struct Read {
    /// The directives; those of included files are in place of their includes.
    pub directives: Vec<Directive>,
    /// The includes for which there is no file.
    pub missing: Vec<(Place, String)>,
}

/// Parses the text of this file and the files that it includes.
///
/// # Errors
/// A message with the file and its line.
pub fn read(text: &str, file: &Path) -> Result<Read, Fault> {
    let root = file.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut reader = Reader { root, bytes: 0, directives: 0, missing: Vec::new() };
    let directives = reader.file(text, file, 0)?;
    Ok(Read { directives, missing: reader.missing })
}

impl Reader {
    fn file(&mut self, text: &str, file: &Path, depth: usize) -> Result<Vec<Directive>, Fault> {
        self.bytes += text.len() as u64;
        if self.bytes > MOST_BYTES {
            return Err(format!("{}: with what it includes more than {MOST_BYTES} bytes", file.display()));
        }
        let mut tokens = Tokens { rest: text, line: 1, file: file.display().to_string() };
        self.block(&mut tokens, depth, false)
    }

    fn block(
        &mut self,
        tokens: &mut Tokens<'_>,
        depth: usize,
        is_inner: bool,
    ) -> Result<Vec<Directive>, Fault> {
        if depth > MOST_DEPTH {
            return Err(tokens.fault("too deep"));
        }
        let mut all = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut line = tokens.line;
        loop {
            let token = tokens.next()?;
            if words.is_empty() {
                line = tokens.line;
            }
            match token {
                Some(Token::Word(word)) => words.push(word),
                Some(token @ (Token::End | Token::Open)) => {
                    if words.is_empty() {
                        return Err(tokens.fault("a word is missing here"));
                    }
                    self.directives += 1;
                    if self.directives > MOST_DIRECTIVES {
                        return Err(tokens.fault("too many directives"));
                    }
                    let place = Place { file: tokens.file.clone(), line };
                    let args = words.split_off(1);
                    let name = words.pop().unwrap_or_default();
                    let block = match token {
                        Token::Open if name.ends_with("_by_lua_block") => {
                            tokens.skip_block()?;
                            Some(Vec::new())
                        }
                        Token::Open => Some(self.block(tokens, depth + 1, true)?),
                        _ => None,
                    };
                    if name == "include" && block.is_none() {
                        let pattern = args.first().cloned().unwrap_or_default();
                        all.extend(self.include(&pattern, &place, depth + 1)?);
                    } else {
                        all.push(Directive { place, name, args, block });
                    }
                }
                Some(Token::Close) if is_inner && words.is_empty() => return Ok(all),
                Some(Token::Close) => return Err(tokens.fault("a closing brace too many, or a missing ;")),
                None if is_inner || !words.is_empty() => return Err(tokens.fault("it ends too early")),
                None => return Ok(all),
            }
        }
    }

    fn include(&mut self, pattern: &str, place: &Place, depth: usize) -> Result<Vec<Directive>, Fault> {
        let path = self.root.join(pattern);
        let files = matching(&path);
        if files.is_empty() && !pattern.contains(['*', '?', '[']) {
            self.missing.push((place.clone(), format!("include {pattern}")));
        }
        let mut all = Vec::new();
        for file in files {
            let text = read_file(&file)?;
            all.extend(self.file(&text, &file, depth)?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mistakes_have_their_line() {
        for (text, expected) in [
            ("a {\n", "x:2: it ends too early"),
            ("a;\n}\n", "x:2: a closing brace"),
            ("a \"b;", "a quote"),
            (";", "a word"),
        ] {
            let error = read(text, Path::new("x")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(read(&"a {".repeat(50), Path::new("x")).unwrap_err().contains("too deep"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[a-z{};\"'$#\n \\\\]{0,80}") {
            let _ = read(&text, Path::new("x"));
        }
    }
}
