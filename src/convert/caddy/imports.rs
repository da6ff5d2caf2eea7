//! Replaces `import` by the contents of snippets and files.

use std::path::Path;

use super::syntax;
use crate::convert::directive::Directive;
use crate::convert::text::{MOST_BYTES, MOST_DEPTH, MOST_DIRECTIVES, read_file};

/// What imports may still add: a snippet that imports another one twice doubles it.
struct Budget {
    directives: usize,
    bytes: usize,
}

struct Imports<'a> {
    snippets: &'a [Directive],
    folder: &'a Path,
    budget: Budget,
}

/// The directives with all imports replaced.
///
/// # Errors
/// They become too large, or a file can't be read.
pub fn with_imports(
    block: &[Directive],
    snippets: &[Directive],
    folder: &Path,
) -> Result<Vec<Directive>, String> {
    let budget = Budget { directives: MOST_DIRECTIVES, bytes: MOST_BYTES as usize };
    Imports { snippets, folder, budget }.block(block, 0)
}

impl Imports<'_> {
    fn block(&mut self, block: &[Directive], depth: usize) -> Result<Vec<Directive>, String> {
        let mut all = Vec::new();
        for directive in block {
            self.pay(directive)?;
            let mut directive = directive.clone();
            let is_import = directive.name == "import" && depth < MOST_DEPTH;
            if let Some(inner) = if is_import { self.imported(&directive)? } else { None } {
                all.extend(self.block(&inner, depth + 1)?);
                continue;
            }
            if let Some(inner) = directive.block.take() {
                directive.block = Some(self.block(&inner, depth + 1)?);
            }
            all.push(directive);
        }
        Ok(all)
    }

    fn pay(&mut self, directive: &Directive) -> Result<(), String> {
        let bytes = directive.name.len() + directive.args.iter().map(String::len).sum::<usize>();
        match (self.budget.directives.checked_sub(1), self.budget.bytes.checked_sub(bytes)) {
            (Some(directives), Some(bytes)) => {
                self.budget = Budget { directives, bytes };
                Ok(())
            }
            _ => {
                Err(format!("{}:{}: imports make too much of it", directive.place.file, directive.place.line))
            }
        }
    }

    /// The contents for an `import`; `None` if there is no such snippet or file.
    fn imported(&mut self, directive: &Directive) -> Result<Option<Vec<Directive>>, String> {
        let wanted = format!("({})", directive.arg(0));
        if let Some(snippet) = self.snippets.iter().find(|it| it.name == wanted) {
            let mut inner = Vec::new();
            for line in snippet.inside() {
                inner.push(self.with_arguments(line, directive.args.get(1..).unwrap_or_default())?);
            }
            return Ok(Some(inner));
        }
        let path = self.folder.join(directive.arg(0));
        if directive.arg(0).is_empty() || !path.is_file() {
            return Ok(None);
        }
        syntax::read(&read_file(&path)?, &path.display().to_string()).map(Some)
    }

    fn with_arguments(&mut self, directive: &Directive, arguments: &[String]) -> Result<Directive, String> {
        self.pay(directive)?;
        let with = |text: &String| {
            let put = |text: String, (number, value): (usize, &String)| {
                text.replace(&format!("{{args[{number}]}}"), value)
                    .replace(&format!("{{args.{number}}}"), value)
            };
            arguments.iter().enumerate().fold(text.clone(), put)
        };
        let block = match &directive.block {
            Some(block) => Some(
                block.iter().map(|it| self.with_arguments(it, arguments)).collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        let (name, args) = (with(&directive.name), directive.args.iter().map(with).collect());
        Ok(Directive { place: directive.place.clone(), name, args, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_take_arguments_and_can_t_grow_without_end() {
        let read = |text: &str| {
            let all = syntax::read(text, "Caddyfile").unwrap();
            let (snippets, rest): (Vec<Directive>, Vec<Directive>) =
                all.into_iter().partition(|it| it.name.starts_with('('));
            with_imports(&rest, &snippets, Path::new("."))
        };
        let sites = read("(a) {\n respond {args[0]} {args.1}\n}\n:80 {\n import a hello 201\n}\n").unwrap();
        assert_eq!(sites[0].inside()[0].text(), "respond hello 201");
        let mut text = "(a0) {\n respond 200\n}\n".to_owned();
        for number in 1..30 {
            text.push_str(&format!("(a{number}) {{\n import a{0}\n import a{0}\n}}\n", number - 1));
        }
        text.push_str(":80 {\n import a29\n}\n");
        assert!(read(&text).unwrap_err().contains("too much"));
    }
}
