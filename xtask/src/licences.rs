//! Licences and sources of the dependency tree, held against `deny.toml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::cargo;

/// Checks every package on every platform, with all features, tests and build scripts included.
///
/// # Errors
/// When a licence is not among `licenses.allow`, or packages come from more than one registry.
pub(crate) fn check(root: &Path) -> Result<()> {
    let deny = read_table(&root.join("deny.toml"))?;
    let licences = words(&deny, "licenses", "allow")?;

    #[rustfmt::skip]
    let tree = cargo::tree(root, &[
        "--workspace", "--all-features", "--target", "all", "-e", "normal,build,dev", "--prefix", "none",
        "--format", "{p}|{l}",
    ], false)?;
    let (checked, mut faults) = licence_faults(&tree, &licences);
    faults.extend(source_faults(&read_table(&root.join("Cargo.lock"))?)?);
    if !faults.is_empty() {
        bail!("licences (deny.toml says which are allowed) and sources:\n  {}", faults.join("\n  "));
    }
    println!("{checked} packages: licences are as deny.toml allows, and one registry is their source");
    Ok(())
}

fn read_table(file: &Path) -> Result<Table> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", file.display()))
}

fn words(table: &Table, section: &str, key: &str) -> Result<BTreeSet<String>> {
    let list = table.get(section).and_then(|section| section.get(key)).and_then(Value::as_array);
    let list = list.with_context(|| format!("deny.toml has no list `{key}` in `[{section}]`"))?;
    list.iter()
        .map(|word| word.as_str().map(str::to_owned))
        .collect::<Option<_>>()
        .with_context(|| format!("`{section}.{key}` of deny.toml holds more than strings"))
}

/// How many packages there are, and what is wrong with them. A line is `NAME VERSION [(PATH)]|EXPRESSION`.
fn licence_faults(tree: &str, allowed: &BTreeSet<String>) -> (usize, Vec<String>) {
    let lines: BTreeSet<_> = tree
        .lines()
        .map(|line| line.strip_suffix(" (*)").unwrap_or(line))
        .filter(|l| !l.is_empty())
        .collect();
    let mut faults = Vec::new();
    for line in &lines {
        let (package, expression) = line.rsplit_once('|').unwrap_or((line, ""));
        if expression.trim().is_empty() {
            faults.push(format!("{package} states no licence expression"));
            continue;
        }
        match permits(expression, allowed) {
            Ok(true) => {}
            Ok(false) => faults.push(format!("{package} is under {expression}")),
            Err(error) => faults.push(format!("{package}: {error:#}")),
        }
    }
    (lines.len(), faults)
}

/// Every package is a member of the workspace or comes from one and the same registry.
fn source_faults(lock: &Table) -> Result<Vec<String>> {
    let packages = lock.get("package").and_then(Value::as_array).context("Cargo.lock lists no packages")?;
    let mut faults = Vec::new();
    let mut registry = None;
    for package in packages {
        // A member of the workspace has no source.
        let Some(source) = package.get("source").and_then(Value::as_str) else { continue };
        let first = *registry.get_or_insert(source);
        if !source.starts_with("registry+") || source != first {
            let name = package.get("name").and_then(Value::as_str).unwrap_or("a package without a name");
            faults.push(format!("{name} comes from {source}"));
        }
    }
    Ok(faults)
}

/// Whether the allowed licences satisfy an SPDX expression. `AND` binds closer than `OR`; `X WITH Y` is one
/// word, so an exception must be allowed by name; `/` is how old manifests write `OR`.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> Result<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { rest: spaced.split_whitespace().collect::<Vec<_>>(), at: 0, allowed };
    let permitted = words.any_of()?;
    match words.peek() {
        None => Ok(permitted),
        Some(word) => bail!("`{expression}` is no licence expression: `{word}` is out of place"),
    }
}

struct Words<'a> {
    rest: Vec<&'a str>,
    at: usize,
    allowed: &'a BTreeSet<String>,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.rest.get(self.at).copied()
    }

    fn eat(&mut self, word: &str) -> bool {
        let is_next = self.peek() == Some(word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any_of(&mut self) -> Result<bool> {
        let mut permitted = self.all_of()?;
        while self.eat("OR") {
            permitted |= self.all_of()?;
        }
        Ok(permitted)
    }

    fn all_of(&mut self) -> Result<bool> {
        let mut permitted = self.one()?;
        while self.eat("AND") {
            permitted &= self.one()?;
        }
        Ok(permitted)
    }

    fn one(&mut self) -> Result<bool> {
        if self.eat("(") {
            let permitted = self.any_of()?;
            if !self.eat(")") {
                bail!("a licence expression lacks a closing parenthesis");
            }
            return Ok(permitted);
        }
        let licence = self.name()?;
        if !self.eat("WITH") {
            return Ok(self.allowed.contains(licence));
        }
        let exception = self.name()?;
        Ok(self.allowed.contains(&format!("{licence} WITH {exception}")))
    }

    fn name(&mut self) -> Result<&'a str> {
        let word = self.peek().context("a licence expression ends too early")?;
        if ["OR", "AND", "WITH", "(", ")"].contains(&word) {
            bail!("a licence expression has `{word}` where a licence should stand");
        }
        self.at += 1;
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn permitted_by_mit_and_isc(expression: &str) -> bool {
        permits(expression, &set(&["MIT", "ISC"])).unwrap()
    }

    #[test]
    fn one_allowed_side_of_a_choice_is_enough() {
        assert!(permitted_by_mit_and_isc("MIT OR GPL-3.0-only"));
        assert!(permitted_by_mit_and_isc("GPL-3.0-only OR MIT"));
        assert!(permitted_by_mit_and_isc("GPL-3.0-only/MIT"));
        assert!(!permitted_by_mit_and_isc("GPL-3.0-only OR AGPL-3.0-only"));
    }

    #[test]
    fn every_part_of_a_conjunction_must_be_allowed() {
        assert!(permitted_by_mit_and_isc("MIT AND ISC"));
        assert!(!permitted_by_mit_and_isc("MIT AND GPL-3.0-only"));
    }

    #[test]
    fn and_binds_closer_than_or_unless_parentheses_say_otherwise() {
        assert!(permitted_by_mit_and_isc("MIT OR ISC AND GPL-3.0-only"));
        assert!(!permitted_by_mit_and_isc("(MIT OR ISC) AND GPL-3.0-only"));
    }

    #[test]
    fn an_exception_must_be_allowed_by_name() {
        assert!(!permitted_by_mit_and_isc("MIT WITH Some-exception"));
        assert!(permits("MIT WITH Some-exception", &set(&["MIT WITH Some-exception"])).unwrap());
    }

    #[test]
    fn malformed_expressions_are_errors_and_not_permissions() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND MIT", "MIT WITH", "()"] {
            assert!(permits(expression, &set(&["MIT", "ISC"])).is_err(), "{expression}");
        }
    }

    #[test]
    fn package_without_a_licence_and_one_with_a_foreign_licence_are_named_once() {
        let tree = "ours v0.1.0 (/w/ours)|MIT\nfoo v1.0.0|GPL-3.0-only\n\
                    foo v1.0.0|GPL-3.0-only (*)\n\nbar v2.0.0|\n";
        let (checked, faults) = licence_faults(tree, &set(&["MIT"]));
        assert_eq!(checked, 3);
        assert_eq!(faults, ["bar v2.0.0 states no licence expression", "foo v1.0.0 is under GPL-3.0-only"]);
    }

    #[test]
    fn one_registry_and_path_members_are_the_only_sources() {
        let lock: Table = r#"
            [[package]]
            name = "ours"
            [[package]]
            name = "good"
            source = "registry+https://index.example"
            [[package]]
            name = "forked"
            source = "git+https://git.example/forked#0123"
            [[package]]
            name = "elsewhere"
            source = "registry+https://other.example"
        "#
        .parse()
        .unwrap();
        let faults = source_faults(&lock).unwrap();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].starts_with("forked comes from git+"), "{faults:?}");
        assert!(faults[1].starts_with("elsewhere comes from registry+https://other"), "{faults:?}");
    }
}
