//! `${NAME}` in a string of the file is replaced by the environment's value. `$${` stands for the characters
//! `${`; any other `$` is literal. Names of fields are not expanded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use serde_json::Value as Json;

use super::error::quoted;

/// The environment at the start of the process. Read by `cli`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<OsString, OsString>);

impl FromIterator<(OsString, OsString)> for Variables {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Variables {
        Variables(variables.into_iter().collect())
    }
}

/// Hides names and values: they may contain passwords.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

const REFERENCE: &str = "${";
/// Names are longer than this only by mistake.
const MOST_NAME_BYTES: usize = 256;

impl Variables {
    /// The text with its variables replaced.
    pub(super) fn expand<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        if !text.contains(REFERENCE) {
            return Ok(Cow::Borrowed(text));
        }
        let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(behind) = rest.strip_prefix("$${") {
                expanded.push_str(REFERENCE);
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix(REFERENCE) {
                let (name, behind) = name_in(behind)?;
                expanded.push_str(self.value_of(name)?);
                rest = behind;
            } else {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
        expanded.push_str(rest);
        Ok(Cow::Owned(expanded))
    }

    fn value_of(&self, name: &str) -> Result<&str, String> {
        let value = self.0.get(&OsString::from(name)).ok_or_else(|| {
            format!("${{{name}}} is not set in the environment; set {name}, or write the value here")
        })?;
        value.to_str().ok_or_else(|| format!("${{{name}}} is not UTF-8 in the environment; set it to a text"))
    }
}

/// The name after `${`, and the text after its `}`.
fn name_in(text: &str) -> Result<(&str, &str), String> {
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.len() <= MOST_NAME_BYTES
            && name.chars().all(plain)
            && name.starts_with(|c: char| !c.is_ascii_digit())
    };
    text.split_once('}').filter(|(name, _)| is_name(name)).ok_or_else(|| {
        let shown = quoted(&format!("{REFERENCE}{text}"));
        format!(
            "{shown} names no variable of the environment; write ${{NAME}}, or $${{ for the characters ${{"
        )
    })
}

/// Whether a string is exactly one variable; only then may it stand for a number, too.
pub(super) fn is_reference(text: &str) -> bool {
    text.strip_prefix(REFERENCE)
        .and_then(|text| name_in(text).ok())
        .is_some_and(|(_, behind)| behind.is_empty())
}

/// Escapes all strings, so that they read back unchanged.
pub(super) fn escape(json: &mut Json) {
    match json {
        Json::String(text) if text.contains(REFERENCE) => *text = text.replace(REFERENCE, "$${"),
        Json::Array(items) => items.iter_mut().for_each(escape),
        Json::Object(fields) => fields.values_mut().for_each(escape),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        let pairs = [("PORT", "8080"), ("EMPTY", ""), ("DOLLARS", "${PORT}$"), ("_a1", "x")];
        pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn a_variable_is_replaced_once_and_a_lone_dollar_is_one() {
        let check = |text: &str, expected: Result<&str, &str>| match (variables().expand(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        check(":${PORT}", Ok(":8080"));
        check("${PORT}${EMPTY}${_a1}", Ok("8080x"));
        check("${DOLLARS}", Ok("${PORT}$"));
        check("$PORT $ $$ {PORT} $", Ok("$PORT $ $$ {PORT} $"));
        check("$${PORT}", Ok("${PORT}"));
        check("$$${PORT}", Ok("$${PORT}"));
        check("${NOPE}", Err("${NOPE} is not set in the environment; set NOPE"));
        for wrong in ["${", "${}", "${PORT", "${PORT:-1}", "${1}", "${a b}", "${\u{e4}}"] {
            check(wrong, Err("write ${NAME}, or $${"));
        }
    }

    #[test]
    fn what_is_no_text_is_told_and_values_are_not_shown() {
        use std::os::unix::ffi::OsStringExt;
        let variables: Variables = [("A".into(), OsString::from_vec(vec![0xff]))].into_iter().collect();
        assert!(variables.expand("${A}").unwrap_err().contains("not UTF-8"));
        assert_eq!(format!("{variables:?}"), "1 variables");
    }

    proptest! {
        #[test]
        fn every_text_can_be_written(text in r"[${}A\n]{0,12}", any in any::<String>()) {
            for text in [text, any] {
                let mut written = json!({ "a": [text] });
                escape(&mut written);
                let written = written["a"][0].as_str().unwrap();
                prop_assert_eq!(variables().expand(written), Ok(Cow::Borrowed(&*text)));
            }
        }

        #[test]
        fn a_value_comes_through_whatever_is_in_it(value in "[^\0]*", before in "[^$]*", after in "[^$]*") {
            let variables: Variables = [("V".into(), OsString::from(&value))].into_iter().collect();
            let text = format!("{before}${{V}}{after}");
            let expected = format!("{before}{value}{after}");
            prop_assert_eq!(variables.expand(&text).unwrap(), expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), near in r"[${}AZ_\-1 ]{0,20}") {
            for text in [text, near] {
                if let Err(message) = variables().expand(&text) {
                    prop_assert!(!message.chars().any(char::is_control), "{}", message);
                }
            }
        }
    }
}
