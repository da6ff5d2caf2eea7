//! Replaces `import` by the contents of snippets and files.

use std::path::Path;

use super::syntax;
use crate::convert::directive::Directive;
use crate::convert::patterns::matching;
use crate::convert::report::{Report, Verdict};
use crate::convert::text::{MOST_BYTES, MOST_DEPTH, MOST_DIRECTIVES, read_file};

/// What imports may still add: a snippet that imports another one twice doubles it.
struct Budget {
    directives: usize,
    bytes: usize,
}

const TOO_DEEP: &str = "imports are too deep, or one is within itself";

struct Imports<'a> {
    snippets: &'a [Directive],
    folder: &'a Path,
    report: &'a mut Report,
    budget: Budget,
}

/// The directives with all imports replaced, but for those that can't be, which are reported.
///
/// # Errors
/// They become too large, or a file can't be read.
pub fn with_imports(
    block: &[Directive],
    snippets: &[Directive],
    folder: &Path,
    report: &mut Report,
) -> Result<Vec<Directive>, String> {
    let budget = Budget { directives: MOST_DIRECTIVES, bytes: MOST_BYTES as usize };
    Imports { snippets, folder, report, budget }.block(block, 0)
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
            if directive.name == "import" {
                let note = if is_import { "this snippet or file is not there" } else { TOO_DEEP };
                self.report.note(&directive.place, &directive.text(), Verdict::NotHere, note);
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
        self.pay_for(directive.name.len() + directive.args.iter().map(String::len).sum::<usize>(), directive)
    }

    fn pay_for(&mut self, bytes: usize, directive: &Directive) -> Result<(), String> {
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
        let files = matching(&self.folder.join(directive.arg(0)));
        if files.is_empty() && !directive.arg(0).contains(['*', '?']) {
            return Ok(None);
        }
        let mut inner = Vec::new();
        for path in files {
            let text = read_file(&path)?;
            self.pay_for(text.len(), directive)?;
            inner.extend(syntax::read(&text, &path.display().to_string())?);
        }
        Ok(Some(inner))
    }

    fn with_arguments(&mut self, directive: &Directive, arguments: &[String]) -> Result<Directive, String> {
        self.pay(directive)?;
        let mut with = |text: &String| {
            let mut text = text.clone();
            for (number, value) in arguments.iter().enumerate() {
                for place in [format!("{{args[{number}]}}"), format!("{{args.{number}}}")] {
                    // Paid before it is made: one word can name an argument a thousand times.
                    let places = text.matches(&place).count();
                    if places > 0 {
                        self.pay_for(places.saturating_mul(value.len()), directive)?;
                        text = text.replace(&place, value);
                    }
                }
            }
            Ok(text)
        };
        let name = with(&directive.name)?;
        let args = directive.args.iter().map(with).collect::<Result<Vec<_>, String>>()?;
        let block = match &directive.block {
            Some(block) => Some(
                block.iter().map(|it| self.with_arguments(it, arguments)).collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
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
            with_imports(&rest, &snippets, Path::new("."), &mut Report::default())
        };
        let sites = read("(a) {\n respond {args[0]} {args.1}\n}\n:80 {\n import a hello 201\n}\n").unwrap();
        assert_eq!(sites[0].inside()[0].text(), "respond hello 201");
        let mut text = "(a0) {\n respond 200\n}\n".to_owned();
        for number in 1..30 {
            text.push_str(&format!("(a{number}) {{\n import a{0}\n import a{0}\n}}\n", number - 1));
        }
        text.push_str(":80 {\n import a29\n}\n");
        assert!(read(&text).unwrap_err().contains("too much"));
        let many = format!(
            "(a) {{\n respond {}\n}}\n:80 {{\n import a {}\n}}\n",
            "{args[0]}".repeat(1000),
            "x".repeat(10_000)
        );
        assert!(read(&many).unwrap_err().contains("too much"));
    }

    #[test]
    fn an_import_within_itself_ends_and_is_told() {
        let all =
            syntax::read("(a) {\n respond 200\n import a\n}\n:80 {\n import a\n}\n", "Caddyfile").unwrap();
        let (snippets, rest): (Vec<Directive>, Vec<Directive>) =
            all.into_iter().partition(|it| it.name.starts_with('('));
        let mut report = Report::default();
        let sites = with_imports(&rest, &snippets, Path::new("."), &mut report).unwrap();
        assert_eq!(sites[0].inside().len(), MOST_DEPTH - 1);
        let rows = report.json();
        assert_eq!((&rows[0]["line"], &rows[0]["verdict"]), (&3.into(), &"not here".into()), "{rows}");
    }
}
