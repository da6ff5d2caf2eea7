//! nginx's language: words, blocks, and files that include others. Bounded in depth, size and number.

use std::fs;
use std::path::{Path, PathBuf};

use crate::convert::directive::Directive;
use crate::convert::report::Place;
use crate::convert::text::{MOST_BYTES, MOST_DEPTH, MOST_DIRECTIVES};

/// A file that can't be read, with its line.
type Fault = String;

/// What is read so far, over all files.
struct Reader {
    root: PathBuf,
    bytes: u64,
    directives: usize,
    missing: Vec<(Place, String)>,
}

/// A configuration, and what it includes that is not there.
#[derive(Debug)]
pub struct Read {
    /// Included files stand in their places.
    pub directives: Vec<Directive>,
    /// What `include` names and nobody finds.
    pub missing: Vec<(Place, String)>,
}

/// Reads this text of this file, and whatever it includes.
///
/// # Errors
/// In words, with the file and its line.
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
            let text = fs::read_to_string(&file).map_err(|why| format!("{}: {why}", file.display()))?;
            all.extend(self.file(&text, &file, depth)?);
        }
        Ok(all)
    }
}

/// The files that a pattern names, with `*` and `?` in its last part.
fn matching(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return if path.is_file() { vec![path.to_path_buf()] } else { Vec::new() };
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_meant = |path: &PathBuf| {
        let own = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        !own.starts_with('.') && fits(name.as_bytes(), own.as_bytes()) && path.is_file()
    };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_meant).collect();
    found.sort();
    found
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
        Some((b'?', rest)) => name.split_first().is_some_and(|(_, more)| fits(rest, more)),
        Some((byte, rest)) => name.split_first().is_some_and(|(own, more)| own == byte && fits(rest, more)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

struct Tokens<'a> {
    rest: &'a str,
    line: usize,
    file: String,
}

impl Tokens<'_> {
    fn fault(&self, what: &str) -> Fault {
        format!("{}:{}: {what}", self.file, self.line)
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn next(&mut self) -> Result<Option<Token>, Fault> {
        loop {
            match self.rest.chars().next() {
                None => return Ok(None),
                Some(c) if c.is_whitespace() => drop(self.take()),
                Some('#') => while self.take().is_some_and(|c| c != '\n') {},
                Some('{') => return Ok(self.take().map(|_| Token::Open)),
                Some('}') => return Ok(self.take().map(|_| Token::Close)),
                Some(';') => return Ok(self.take().map(|_| Token::End)),
                Some(quote @ ('"' | '\'')) => return self.quoted(quote).map(Some),
                Some(_) => return Ok(Some(self.word())),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Fault> {
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err(self.fault("a quote is not closed")),
                Some('\\') => match self.take() {
                    Some(c) if c == quote || c == '\\' => text.push(c),
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) => text.extend(['\\', c]),
                    None => {}
                },
                Some(c) if c == quote => return Ok(Token::Word(text)),
                Some(c) => text.push(c),
            }
        }
    }

    /// Up to a blank or a sign; `${name}` belongs to it.
    fn word(&mut self) -> Token {
        let mut text = String::new();
        while let Some(c) = self.rest.chars().next() {
            match c {
                '{' if text.ends_with('$') => {
                    while let Some(c) = self.take() {
                        text.push(c);
                        if c == '}' {
                            break;
                        }
                    }
                    continue;
                }
                '\\' => {
                    text.extend(self.take());
                    text.extend(self.take());
                    continue;
                }
                c if c.is_whitespace() || matches!(c, '{' | '}' | ';') => break,
                _ => text.extend(self.take()),
            }
        }
        Token::Word(text)
    }

    /// Another language up to the brace that closes this one.
    fn skip_block(&mut self) -> Result<(), Fault> {
        let mut depth = 1;
        while depth > 0 {
            match self.take() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(_) => {}
                None => return Err(self.fault("it ends too early")),
            }
        }
        Ok(())
    }
}
