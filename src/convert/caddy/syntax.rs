//! Parses the Caddyfile's syntax: a line is a directive, and a brace at its end begins a block.

use crate::convert::directive::Directive;
use crate::convert::report::Place;
use crate::convert::text::{MOST_DEPTH, MOST_DIRECTIVES};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    line: usize,
    /// The line where it ends: quoted texts may have several lines.
    end: usize,
    is_quoted: bool,
}

/// Parses a text into sites, snippets and the options at its head (whose name is empty).
///
/// # Errors
/// What can't be read, with its line.
pub fn read(text: &str, file: &str) -> Result<Vec<Directive>, String> {
    let words = words(text).map_err(|(line, why)| format!("{file}:{line}: {why}"))?;
    let mut reader = Reader { words, at: 0, file, count: 0 };
    let has_blocks = reader.words.iter().any(|word| word.text == "{" && !word.is_quoted);
    let first_line = reader.words.first().map_or(0, |word| word.line);
    let first_ends_open =
        reader.words.iter().rev().find(|word| word.line == first_line).is_some_and(|word| word.text == "{");
    // A file may consist of imports alone.
    let is_import = reader.words.first().is_some_and(|word| word.text == "import");
    if !is_import && (!has_blocks || (!first_ends_open && !reader.has_site_block())) {
        // A single site without braces: the first line has its addresses.
        let mut site = reader.line()?;
        site.block = Some(reader.block(0, false)?);
        return Ok(vec![site]);
    }
    reader.block(0, false)
}

struct Reader<'a> {
    words: Vec<Word>,
    at: usize,
    file: &'a str,
    count: usize,
}

impl Reader<'_> {
    fn fault(&self, what: &str) -> String {
        let line = self.words.get(self.at).or(self.words.last()).map_or(1, |word| word.line);
        format!("{}:{line}: {what}", self.file)
    }

    /// Whether a block at the outermost level belongs to a site rather than a directive.
    fn has_site_block(&self) -> bool {
        let mut depth = 0_usize;
        for (at, word) in self.words.iter().enumerate() {
            let is_sign = |sign: &str| word.text == sign && !word.is_quoted;
            if is_sign("{") {
                let first = self.words[..at].iter().rev().take_while(|it| it.line == word.line).last();
                let is_site = first.is_none_or(|first| {
                    first.text.contains([':', '.', '('])
                        || first.text == "localhost"
                        || first.text.starts_with('*')
                });
                if depth == 0 && is_site {
                    return true;
                }
                depth += 1;
            } else if is_sign("}") {
                depth = depth.saturating_sub(1);
            }
        }
        false
    }

    fn block(&mut self, depth: usize, is_inner: bool) -> Result<Vec<Directive>, String> {
        if depth > MOST_DEPTH {
            return Err(self.fault("too deep"));
        }
        let mut all = Vec::new();
        loop {
            match self.words.get(self.at) {
                None if is_inner => return Err(self.fault("a brace is not closed")),
                None => return Ok(all),
                Some(word) if word.text == "}" && !word.is_quoted => {
                    if !is_inner {
                        return Err(self.fault("a closing brace too many"));
                    }
                    self.at += 1;
                    return Ok(all);
                }
                Some(_) => {
                    let mut directive = self.line()?;
                    if self.opens() {
                        self.at += 1;
                        directive.block = Some(self.block(depth + 1, true)?);
                    }
                    all.push(directive);
                }
            }
        }
    }

    fn opens(&self) -> bool {
        self.words.get(self.at).is_some_and(|word| word.text == "{" && !word.is_quoted)
    }

    /// The words of a line; a comma at its end continues it. Stops before the brace at its end.
    fn line(&mut self) -> Result<Directive, String> {
        self.count += 1;
        if self.count > MOST_DIRECTIVES {
            return Err(self.fault("too many directives"));
        }
        let Some(first) = self.words.get(self.at) else { return Err(self.fault("a line is missing")) };
        let mut line = first.line;
        let place = Place { file: self.file.to_owned(), line };
        let mut words: Vec<String> = Vec::new();
        while let Some(word) = self.words.get(self.at) {
            let goes_on = words.last().is_some_and(|last| last.ends_with(','));
            if (word.line != line && !goes_on) || (!word.is_quoted && matches!(word.text.as_str(), "{" | "}"))
            {
                break;
            }
            line = word.end;
            words.push(word.text.clone());
            self.at += 1;
        }
        let mut words = words.into_iter();
        Ok(Directive { place, name: words.next().unwrap_or_default(), args: words.collect(), block: None })
    }
}

/// All words with their lines; the line of a heredoc is that of its opening marker.
fn words(text: &str) -> Result<Vec<Word>, (usize, &'static str)> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut line = 1;
    let take = |rest: &mut &str, line: &mut usize| {
        let c = rest.chars().next()?;
        *rest = &rest[c.len_utf8()..];
        *line += usize::from(c == '\n');
        Some(c)
    };
    while let Some(c) = rest.chars().next() {
        let start = line;
        match c {
            c if c.is_whitespace() => drop(take(&mut rest, &mut line)),
            // A backslash at the end of a line continues the line.
            '\\' if rest[1..].starts_with('\n') || rest[1..].starts_with("\r\n") => {
                if let Some(word) = words.last_mut() {
                    let word: &mut Word = word;
                    word.end = line + 1;
                }
                while take(&mut rest, &mut line).is_some_and(|c| c != '\n') {}
            }
            '#' => while take(&mut rest, &mut line).is_some_and(|c| c != '\n') {},
            '"' | '`' => {
                take(&mut rest, &mut line);
                let mut text = String::new();
                loop {
                    match take(&mut rest, &mut line) {
                        None => return Err((start, "a quote is not closed")),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' && rest.starts_with(['"', '\\']) => {
                            text.extend(take(&mut rest, &mut line));
                        }
                        Some(other) => text.push(other),
                    }
                }
                words.push(Word { text, line: start, end: line, is_quoted: true });
            }
            '<' if rest.starts_with("<<") && rest[2..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let end = rest.find('\n').ok_or((start, "a heredoc is not closed"))?;
                let mark = rest[2..end].trim().to_owned();
                let body = &rest[end + 1..];
                let close = body.split_inclusive('\n').scan(0, |at, line| {
                    *at += line.len();
                    Some((*at, line))
                });
                let found =
                    close.into_iter().find(|(_, line)| line.trim_start().trim_end().starts_with(&mark));
                let (until, last) = found.ok_or((start, "a heredoc is not closed"))?;
                let indent = last.len() - last.trim_start().len();
                let inner = &body[..until - last.len()];
                let lines: Vec<&str> = inner.lines().map(|line| line.get(indent..).unwrap_or("")).collect();
                words.push(Word {
                    text: lines.join("\n"),
                    line: start,
                    end: start + inner.matches('\n').count() + 1,
                    is_quoted: true,
                });
                let after_mark = until - last.len() + indent + mark.len();
                line += inner.matches('\n').count() + 1;
                rest = &body[after_mark..];
            }
            _ => {
                let mut text = String::new();
                while let Some(c) = rest.chars().next().filter(|c| !c.is_whitespace()) {
                    // Braces are part of a word, as in `{$NAME:default}` and placeholders.
                    text.push(c);
                    take(&mut rest, &mut line);
                }
                words.push(Word { text, line: start, end: start, is_quoted: false });
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sites_blocks_quotes_and_heredocs() {
        let text = "{\n\tadmin off\n}\na.example.com, b.example.com {\n\trespond \"x {y}\" 200 # no\n\trespond <<END\n\t\tone\n\t\ttwo\n\t\tEND 404\n\thandle /x* {\n\t\tabort\n\t}\n}\n";
        let all = read(text, "Caddyfile").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].inside()[0].text(), "admin off");
        let site = &all[1];
        assert_eq!((site.name.as_str(), site.arg(0)), ("a.example.com,", "b.example.com"));
        assert_eq!(site.inside()[0].args, ["x {y}", "200"]);
        assert_eq!(site.inside()[1].args, ["one\ntwo", "404"]);
        assert_eq!((site.inside()[2].place.line, site.inside()[2].inside().len()), (10, 1));
        let bare = read(":80\nreverse_proxy a:1\nhandle /x {\n abort\n}\n", "Caddyfile").unwrap();
        assert_eq!((bare.len(), bare[0].inside().len()), (1, 2));
        for bad in ["a {\n", "a {\n}\n}\n", "a {\n respond \"x\n}\n"] {
            assert!(read(bad, "Caddyfile").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[a-z:{}<\"`\n\t #\\\\E]{0,80}") {
            let _ = read(&text, "Caddyfile");
        }
    }
}
