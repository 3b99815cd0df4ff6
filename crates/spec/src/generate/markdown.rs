//! The rules and the operations as tables.

use std::fmt::Write as _;

use fleetwire_protocol::AuthHeader;
use fleetwire_validation::{How, Origin, Rule, Severity, Sides, rules_of};

use super::operation::{Operation, all};
use super::{COMMAND, Error};
use crate::changes;
use crate::lint::LintRule;

/// The mark before the operations' table.
pub const OPERATIONS_BEGIN: &str = "<!-- operations: made by `cargo xtask generate` -->";
/// The mark after it.
pub const OPERATIONS_END: &str = "<!-- /operations -->";

/// Every rule, by operation.
pub(super) fn rules() -> String {
    let mut text = format!(
        "<!-- Made by `{COMMAND}`: do not edit. -->\n\n# Rules\n\nWhat the operations ask beyond the types of \
         their members. A place is a JSON pointer in the body, with `*` for every element of a list, or a \
         header.\n\n\
         * *Sides*: a server refuses what breaks a rule of *accept*; a client is held to a rule of *emit*, and a \
         server puts up with what breaks it.\n\
         * *Severity*, where the message is read: *refuse* it, *mark* what breaks the rule and go on, or *lint*: \
         only the sender's own check speaks of it.\n\
         * A *house rule* stands in no source: it is ours, or only a later document or deployed code of the vendor \
         has it. House rules can be switched off by their ids, unless they are *held by the type* of the member. \
         What a source states cannot.\n\n\
         An id is also the anchor of its row: the faults of a message lead here.\n"
    );
    for operation in all() {
        let rules = rules_of(operation.id);
        write(&mut text, format_args!("\n## `{}`\n\n", operation.id));
        if rules.is_empty() {
            text.push_str("None.\n");
            continue;
        }
        text.push_str("| id | place | statement | sides | severity | origin |\n|---|---|---|---|---|---|\n");
        for rule in rules {
            row(&mut text, rule);
        }
    }
    text
}

/// The rules of the spec guard.
pub(super) fn guard_rules() -> String {
    let mut text = format!(
        "<!-- Made by `{COMMAND}`: do not edit. -->\n\n# Rules of the spec guard\n\n\
         What [`fleetwire spec`](spec-guard.md) finds, by stable ids.\n\n\
         ## Changes between two versions\n\n\
         `fleetwire spec diff OLD NEW`. A rule about a schema has two severities: the first where a document proves \
         that a peer breaks, the second where it is proved that none does. *Direction* is the one of the message in \
         which a rule finds something.\n\n\
         | id | area | direction | severity | what it finds | what to do |\n|---|---|---|---|---|---|\n"
    );
    for rule in changes::Rule::ALL {
        let direction = rule.direction().map_or_else(String::new, |direction| direction.to_string());
        let otherwise = rule.otherwise().map_or_else(String::new, |otherwise| format!(", else {otherwise}"));
        write(
            &mut text,
            format_args!(
                "| <a id=\"{id}\"></a>`{id}` | {} | {direction} | {}{otherwise} | {} | {} |\n",
                rule.area(),
                rule.severity(),
                cell(rule.statement()),
                cell(rule.advice()),
                id = rule.as_str(),
            ),
        );
    }
    text.push_str(
        "\n## Faults within one document\n\n`fleetwire spec lint FILE`.\n\n\
         | id | severity | what it finds | what to do |\n|---|---|---|---|\n",
    );
    for rule in LintRule::ALL {
        write(
            &mut text,
            format_args!(
                "| <a id=\"{id}\"></a>`{id}` | {} | {} | {} |\n",
                rule.severity(),
                cell(rule.statement()),
                cell(rule.advice()),
                id = rule.as_str(),
            ),
        );
    }
    text
}

fn row(text: &mut String, rule: &Rule) {
    let sides = match rule.sides {
        Sides::Both => "both",
        Sides::Accept => "accept",
        Sides::Emit => "emit",
    };
    let severity = match rule.severity {
        Severity::Refuse => "refuse",
        Severity::Mark => "mark",
        Severity::Lint => "lint",
    };
    let (id, place, statement) = (rule.id, cell(rule.pointer), cell(rule.statement));
    let origin = cell(&origin(rule));
    write(
        text,
        format_args!(
            "| <a id=\"{id}\"></a>`{id}` | `{place}` | {statement} | {sides} | {severity} | {origin} |\n"
        ),
    );
}

fn origin(rule: &Rule) -> String {
    let mut text = if rule.is_house_rule() { "*house rule*: ".to_owned() } else { String::new() };
    match rule.origin {
        Origin::HouseRule { why } => text.push_str(why),
        Origin::Source { document, place, how } => {
            let how = match how {
                How::Structure => "structure",
                How::Prose => "prose",
                How::Slice => "slice",
                How::Deployed => "deployed",
            };
            write(&mut text, format_args!("{document}, {place} ({how})"));
        }
    }
    if rule.held_by_type {
        text.push_str("; held by the type");
    }
    text
}

/// The operations of all vendors as a Markdown table.
#[must_use]
pub fn operations_table() -> String {
    let mut text = "| operation | request line below the vendor's base | signed in by | what it does |\n\
                    |---|---|---|---|\n"
        .to_owned();
    for operation in all() {
        let also: String = operation.aliases.iter().map(|path| format!(", also `{path}`")).collect();
        let (method, path) = (&operation.method, operation.path);
        let (who, what) = (cell(&credentials(&operation)), cell(operation.summary));
        let companion = if operation.companion { " (companion)" } else { "" };
        write(
            &mut text,
            format_args!("| `{}`{companion} | `{method} {path}`{also} | {who} | {what} |\n", operation.id),
        );
    }
    text
}

/// The headers that say who calls: those in which the alternatives differ, then those that go with each.
fn credentials(operation: &Operation) -> String {
    let common = |header: &&AuthHeader| operation.auth.iter().all(|headers| headers.contains(header));
    let listed = |headers: Vec<&AuthHeader>| headers.into_iter().map(shown).collect::<Vec<_>>().join(", ");
    let [first, rest @ ..] = operation.auth else { return "nothing in a header".to_owned() };
    if rest.is_empty() {
        return listed(first.iter().collect());
    }
    let distinct: Vec<String> = operation
        .auth
        .iter()
        .map(|headers| listed(headers.iter().filter(|header| !common(header)).collect()))
        .collect();
    let shared = listed(first.iter().filter(common).collect());
    let with = if shared.is_empty() { String::new() } else { format!(", with {shared}") };
    format!("{}{with}", distinct.join(" or "))
}

fn shown(header: &AuthHeader) -> String {
    match header.format.split_once(' ') {
        Some((scheme, _)) if header.name == "Authorization" => format!("`{}: {scheme}`", header.name),
        _ => format!("`{}`", header.name),
    }
}

/// Puts the operations' table between the two marks of a text.
///
/// # Errors
/// The marks are not there.
pub fn with_operations(text: &str) -> Result<String, Error> {
    let (before, rest) = text.split_once(OPERATIONS_BEGIN).ok_or(Error::NoMarks)?;
    let (_, after) = rest.split_once(OPERATIONS_END).ok_or(Error::NoMarks)?;
    Ok(format!("{before}{OPERATIONS_BEGIN}\n\n{}\n{OPERATIONS_END}{after}", operations_table()))
}

/// Text that stays within its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace("<", "&lt;")
}

/// Writing to a string does not fail.
fn write(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(line);
}
