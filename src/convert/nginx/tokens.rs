//! The tokens of nginx's files.

/// A token.
#[derive(Debug, PartialEq, Eq)]
pub enum Token {
    /// A word, without its quotes.
    Word(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `;`
    End,
}

/// Reads the tokens of a text and tracks their lines.
pub struct Tokens<'a> {
    /// The text not yet read.
    pub rest: &'a str,
    /// The current line, from 1.
    pub line: usize,
    /// The file's name.
    pub file: String,
}

impl Tokens<'_> {
    /// An error message with its position.
    pub fn fault(&self, what: &str) -> String {
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

    /// The next token; `None` at the end.
    ///
    /// # Errors
    /// A quote is not closed.
    pub fn next(&mut self) -> Result<Option<Token>, String> {
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

    fn quoted(&mut self, quote: char) -> Result<Token, String> {
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

    /// Reads up to a blank or a delimiter; `${name}` is part of a word.
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

    /// Skips code in another language, up to the closing brace of the block.
    ///
    /// # Errors
    /// The block is not closed.
    pub fn skip_block(&mut self) -> Result<(), String> {
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
