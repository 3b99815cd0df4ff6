//! docs/performance.md, whose tables are made from docs/performance.json.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{plots, table, targets};

const PAGE: &str = "docs/performance.md";
const FIGURES: &str = "docs/performance.json";

/// The kept figures; none yet if there is no file.
///
/// # Errors
/// The file is there and holds no JSON object.
pub(crate) fn read(root: &Path) -> Result<Value> {
    match fs::read(root.join(FIGURES)) {
        Ok(bytes) => {
            let figures: Value =
                serde_json::from_slice(&bytes).with_context(|| format!("{FIGURES} holds no JSON"))?;
            figures.is_object().then_some(figures).with_context(|| format!("{FIGURES} holds no object"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(json!({})),
        Err(error) => Err(error).with_context(|| format!("{FIGURES} cannot be read")),
    }
}

/// Puts rows of a table in place of those of the same name, and new ones at the end.
pub(crate) fn put(figures: &mut Value, table: &str, name: &str, rows: Vec<Value>) {
    let mut kept = figures.get(table).and_then(Value::as_array).cloned().unwrap_or_default();
    for row in rows {
        match kept.iter_mut().find(|known| known.get(name) == row.get(name)) {
            Some(known) => *known = row,
            None => kept.push(row),
        }
    }
    figures[table] = kept.into();
}

/// Writes the figures, the tables of the page, and the plots.
///
/// # Errors
/// The page lacks a pair of marks, or a file cannot be written.
pub(crate) fn write(root: &Path, figures: &Value) -> Result<()> {
    let mut page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("{PAGE} cannot be read"))?;
    let all = |member: &str| figures.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    let lines = |head: &str, lines: Vec<String>| format!("{head}\n{}", lines.join("\n"));
    let tables = [
        ("targets", lines(targets::HEAD, targets::lines(figures))),
        ("rows", lines(table::HEAD, all("rows").iter().map(table::line).collect())),
        ("scale", lines(table::SCALE_HEAD, all("scale").iter().map(table::scale_line).collect())),
        ("rehearse", lines(table::REHEARSE_HEAD, all("rehearse").iter().map(table::rehearse_line).collect())),
    ];
    for (name, table) in tables {
        page = between(&page, name, &table).with_context(|| format!("{PAGE} has no marks for `{name}`"))?;
    }
    for (name, drawing) in plots::all(&all("scale"))? {
        fs::write(root.join("docs").join(&name), drawing)
            .with_context(|| format!("{name} cannot be written"))?;
    }
    fs::write(root.join(FIGURES), format!("{figures:#}\n"))?;
    fs::write(root.join(PAGE), page)?;
    eprintln!("Written: {PAGE}, {FIGURES}");
    Ok(())
}

/// Puts something between the marks of a name.
fn between(page: &str, name: &str, what: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}{what}\n{close}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_marks_is_replaced_and_nothing_else() {
        let page = "a\n<!-- rows -->\nold\n<!-- end of rows -->\nb\n";
        let new = between(page, "rows", "new").unwrap();
        assert_eq!(new, "a\n<!-- rows -->\nnew\n<!-- end of rows -->\nb\n");
        assert_eq!(between(&new, "rows", "new").unwrap(), new);
        assert_eq!(between(page, "scale", "x"), None);
    }

    #[test]
    fn rows_replace_those_of_their_name_and_keep_their_places() {
        let mut figures = json!({"rows": [{"row": "a", "n": 1}, {"row": "b", "n": 1}], "scale": [1]});
        put(&mut figures, "rows", "row", vec![json!({"row": "c"}), json!({"row": "a", "n": 2})]);
        assert_eq!(
            figures,
            json!({"rows": [{"row": "a", "n": 2}, {"row": "b", "n": 1}, {"row": "c"}], "scale": [1]})
        );
    }
}
