//! `if` and `unless`: expressions over ACLs, as alternatives of what must and what must not hold.

use std::collections::BTreeMap;

use super::acl::{Known, predefined, test};
use super::conjunct::Conjunct;

/// One alternative of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// This holds.
    pub holds: Conjunct,
    /// None of these does.
    pub unless: Vec<Conjunct>,
}

impl Term {
    /// Returns the one that always holds.
    pub fn always() -> Self {
        Self {
            holds: Conjunct::default(),
            unless: Vec::new(),
        }
    }
}

/// Named tests: each the words of its lines.
pub type Acls = BTreeMap<String, Vec<Vec<String>>>;

/// A condition, and what is a little otherwise in it here.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// One of these holds; empty: it never does.
    pub terms: Vec<Term>,
    /// What is otherwise.
    pub notes: Vec<&'static str>,
}

impl Condition {
    /// Returns the one that always holds.
    pub fn always() -> Self {
        Self {
            terms: vec![Term::always()],
            notes: Vec::new(),
        }
    }
}

/// A test, by its lines, and whether it must not hold.
#[derive(Clone, Debug)]
struct Literal {
    negated: bool,
    tests: Vec<Vec<String>>,
}

/// Reads what stands behind an action: `if ...`, `unless ...` or nothing.
///
/// # Errors
/// Why it cannot be said by routes.
pub fn condition(words: &[String], acls: &Acls, known: &Known) -> Result<Condition, String> {
    let (word, rest) = match words.split_first() {
        None => return Ok(Condition::always()),
        Some((word, rest)) => (word.as_str(), rest),
    };
    let alternatives = alternatives(rest, acls)?;
    let alternatives = match word {
        "if" => alternatives,
        "unless" => negated(&alternatives)?,
        other => return Err(format!("{other} is not known to this import")),
    };
    let mut condition = Condition::default();
    for literals in alternatives {
        let mut holds = vec![Conjunct::default()];
        let mut unless = Vec::new();
        for literal in literals {
            let mut any = Vec::new();
            for words in &literal.tests {
                let test = test(words, known)?;
                any.extend(test.any);
                condition.notes.extend(test.notes);
            }
            if literal.negated {
                unless.extend(any);
            } else {
                let pairs = holds
                    .iter()
                    .flat_map(|one| any.iter().filter_map(|other| one.and(other)));
                holds = pairs.take(TERMS_MAX + 1).collect();
            }
        }
        if unless.iter().any(Conjunct::is_always) {
            continue;
        }
        for one in holds {
            let unless = unless.clone();
            condition.terms.push(Term { holds: one, unless });
        }
        if condition.terms.len() > TERMS_MAX {
            return Err("it has too many alternatives".to_owned());
        }
    }
    Ok(condition)
}

/// Reads alternatives, each a list of tests that all hold.
fn alternatives(words: &[String], acls: &Acls) -> Result<Vec<Vec<Literal>>, String> {
    let mut all = vec![Vec::new()];
    let mut negated = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut name = word.as_str();
        match name {
            "||" | "or" => {
                all.push(Vec::new());
                continue;
            }
            "and" | "&&" => continue,
            _ => {}
        }
        while let Some(rest) = name.strip_prefix('!') {
            negated = !negated;
            name = rest;
        }
        let tests = match name {
            "" => continue,
            "{" => {
                let inside = words.by_ref().take_while(|word| *word != "}");
                vec![inside.cloned().collect()]
            }
            name => match acls.get(name) {
                Some(tests) => tests.clone(),
                None => {
                    let why = || format!("there is no ACL {name}");
                    vec![predefined(name).ok_or_else(why)?]
                }
            },
        };
        if let Some(last) = all.last_mut() {
            last.push(Literal { negated, tests });
        }
        negated = false;
    }
    Ok(all)
}

/// Returns the alternatives of the opposite.
fn negated(alternatives: &[Vec<Literal>]) -> Result<Vec<Vec<Literal>>, String> {
    let mut all: Vec<Vec<Literal>> = vec![Vec::new()];
    for literals in alternatives {
        let mut next = Vec::new();
        for one in &all {
            for literal in literals {
                let mut longer = one.clone();
                longer.push(Literal {
                    negated: !literal.negated,
                    tests: literal.tests.clone(),
                });
                next.push(longer);
            }
        }
        all = next;
        if all.len() > TERMS_MAX {
            return Err("it has too many alternatives".to_owned());
        }
    }
    Ok(all)
}

/// How many alternatives a condition may have.
const TERMS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let acls: Acls = [
            ("api", vec!["path_beg /api/", "path /v1"]),
            ("lan", vec!["src 10.0.0.0/8"]),
            ("tls", vec!["ssl_fc"]),
        ]
        .into_iter()
        .map(|(name, tests)| (name.to_owned(), tests.into_iter().map(words).collect()))
        .collect();
        let known = Known {
            tls: false,
            http: true,
            port: Some(80),
        };
        let condition = condition(&words(text), &acls, &known)?;
        let shown = |term: &Term| {
            let unless: Vec<String> = term.unless.iter().map(|u| u.yaml().document(0)).collect();
            format!("{} ! {}", term.holds.yaml().document(0), unless.join(" ! "))
                .replace('\n', "")
                .trim_end_matches(" ! ")
                .to_owned()
        };
        Ok(condition.terms.iter().map(shown).collect())
    }

    #[test]
    fn expressions_become_alternatives() {
        for (text, hoped) in [
            ("", vec![""]),
            ("if api", vec!["path: /api/", "path: {exact: /v1}"]),
            (
                "if api lan",
                vec![
                    "path: /api/client: 10.0.0.0/8",
                    "path: {exact: /v1}client: 10.0.0.0/8",
                ],
            ),
            (
                "if lan or { path /x }",
                vec!["client: 10.0.0.0/8", "path: {exact: /x}"],
            ),
            (
                "if lan !api",
                vec!["client: 10.0.0.0/8 ! path: /api/ ! path: {exact: /v1}"],
            ),
            ("unless api", vec![" ! path: /api/ ! path: {exact: /v1}"]),
            (
                "unless api lan",
                vec![
                    " ! path: /api/ ! path: {exact: /v1}",
                    " ! client: 10.0.0.0/8",
                ],
            ),
            ("if !tls", vec![""]),
            ("if tls", vec![]),
            ("unless { dst_port 80 }", vec![]),
            ("if ! { ssl_fc } METH_POST", vec!["method: POST"]),
        ] {
            let hoped: Vec<String> = hoped.into_iter().map(str::to_owned).collect();
            assert_eq!(read(text), Ok(hoped), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        for (text, why) in [
            ("if nobody", "there is no ACL nobody"),
            (
                "if { path_end .jpg }",
                "a route looks at the beginning of a path, or at the whole",
            ),
            ("if { cook(a) b }", "there is nothing like cook here"),
            ("if { src -f /etc/list }", "lists in files are not read"),
            ("if { }", "nothing is tested"),
        ] {
            assert_eq!(read(text), Err(why.to_owned()), "{text}");
        }
    }
}
