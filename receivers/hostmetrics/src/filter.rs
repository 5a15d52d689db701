//! Names that are wanted and names that are not.

use std::collections::HashSet;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How names match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchType {
    /// They are equal.
    #[default]
    Strict,
    /// The expression is found somewhere in the name; `^` and `$` bind it.
    Regexp,
}

/// What is included and not excluded.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
}

#[derive(Debug)]
enum Matcher {
    Strict(HashSet<String>),
    Regexp(Vec<Regex>),
}

type List<'a> = Option<(&'a [String], MatchType)>;

/// Makes a filter.
///
/// # Errors
/// Whether it is `include` that is wrong, and what.
pub(crate) fn filter(include: List<'_>, exclude: List<'_>) -> Result<Filter, (bool, String)> {
    Ok(Filter {
        include: include.map(matcher).transpose().map_err(|why| (true, why))?,
        exclude: exclude.map(matcher).transpose().map_err(|why| (false, why))?,
    })
}

fn matcher((names, how): (&[String], MatchType)) -> Result<Matcher, String> {
    if names.is_empty() {
        return Err("the list is empty".into());
    }
    match how {
        MatchType::Strict => Ok(Matcher::Strict(names.iter().cloned().collect())),
        MatchType::Regexp => {
            let compile =
                |name: &String| Regex::new(name).map_err(|error| format!("`{name}` does not compile: {error}"));
            Ok(Matcher::Regexp(names.iter().map(compile).collect::<Result<_, _>>()?))
        }
    }
}

impl Filter {
    /// Whether the name is wanted.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.has(name))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.has(name))
    }
}

impl Matcher {
    fn has(&self, name: &str) -> bool {
        match self {
            Matcher::Strict(names) => names.contains(name),
            Matcher::Regexp(expressions) => expressions.iter().any(|expression| expression.is_match(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_and_not_excluded() {
        let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let (sd, loops) = (names(&["^sd"]), names(&["sda1"]));
        let both = filter(Some((&sd, MatchType::Regexp)), Some((&loops, MatchType::Strict))).unwrap();
        let admitted: Vec<_> = ["sda", "sda1", "sda12", "xsda"].into_iter().filter(|name| both.admits(name)).collect();
        assert_eq!(admitted, ["sda", "sda12"]);
        assert!(Filter::default().admits("anything"));
        assert!(!filter(None, Some((&sd, MatchType::Regexp))).unwrap().admits("sdb"));
        assert!(filter(Some((&names(&["("]), MatchType::Regexp)), None).unwrap_err().1.contains("does not compile"));
        assert!(!filter(Some((&names(&[]), MatchType::Strict)), None).unwrap_err().1.is_empty());
    }
}
