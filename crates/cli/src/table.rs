//! Plain tables for people.

use std::borrow::Cow;
use std::fmt::Write;

/// A table whose columns are as wide as what is in them.
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(titles: [&str; COLUMNS]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)] }
    }

    pub(crate) fn row(&mut self, cells: [&str; COLUMNS]) {
        self.rows.push(cells.map(|cell| line(cell).into_owned()));
    }

    /// The table, or `none` if it has no rows.
    pub(crate) fn finish(self, none: &str) -> String {
        if self.rows.len() == 1 {
            return format!("{none}\n");
        }
        let mut text = String::new();
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        });
        for row in &self.rows {
            let mut cells = String::new();
            for (cell, width) in row.iter().zip(widths) {
                // Writing to a `String` does not fail.
                let _ = write!(cells, "{cell:<width$}  ");
            }
            text.push_str(cells.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values, one pair a line.
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name:<13}  {}\n", line(value))).collect()
}

/// A text on one line. Agents choose their names, and a name must not move the cursor of an operator's terminal
/// or turn the direction of its text.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    let unsafe_to_show = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(unsafe_to_show) {
        Cow::Owned(text.replace(unsafe_to_show, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new(["ID", "NAME", "X"]);
        table.row(["1", "Tür", "a"]);
        table.row(["1000", "n", ""]);
        assert_eq!(table.finish("none"), "ID    NAME  X\n1     Tür   a\n1000  n\n");
    }

    #[test]
    fn empty_table_says_what_to_do() {
        assert_eq!(Table::new(["ID"]).finish("Nothing yet."), "Nothing yet.\n");
    }

    #[test]
    fn cells_cannot_steer_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\u{1b}[2J\nb\u{202e}c"]);
        assert_eq!(table.finish("none"), "NAME\na\u{fffd}[2J\u{fffd}b\u{fffd}c\n");
        assert_eq!(pairs(&[("name", "a\rb")]), "name           a\u{fffd}b\n");
    }
}
