use fleetwire_protocol::{Place, Violation};

use crate::Rule;

/// The most violations that are reported of one call. A long list of broken elements must not be answered
/// with a longer one.
pub const MAX_REPORTED: usize = 100;

/// Where the violations of one rule go.
pub(crate) struct Report<'a> {
    rule: &'static Rule,
    out: &'a mut Vec<Violation>,
    more: &'a mut usize,
}

impl<'a> Report<'a> {
    pub(crate) const fn new(rule: &'static Rule, out: &'a mut Vec<Violation>, more: &'a mut usize) -> Self {
        Self { rule, out, more }
    }

    /// The rule is broken; `tail` ends the sentence that its statement begins.
    #[cold]
    pub(crate) fn broken(&mut self, indices: &[usize], tail: &str) {
        let statement = self.rule.statement;
        self.add(indices, || format!("{statement}{tail}"));
    }

    /// The rule is broken, and what its statement says in general is said of this call in other words.
    #[cold]
    pub(crate) fn broken_so(&mut self, message: String) {
        self.add(&[], || message);
    }

    fn add(&mut self, indices: &[usize], message: impl FnOnce() -> String) {
        if self.out.len() < MAX_REPORTED {
            let place = place(self.rule.pointer, indices);
            self.out.push(Violation { place, rule: self.rule.id, message: message() });
        } else {
            *self.more += 1;
        }
    }
}

/// Makes the place of a rule the place of a violation: each `*` becomes an index.
fn place(pointer: &'static str, indices: &[usize]) -> Place {
    if let Some(name) = pointer.strip_prefix("header:") {
        return Place::Header(name);
    }
    let mut indices = indices.iter();
    let mut path = String::with_capacity(pointer.len() + 4);
    for segment in pointer.split('/').skip(1) {
        path.push('/');
        match (segment, indices.as_slice()) {
            ("*", [index, ..]) => {
                path.push_str(&index.to_string());
                indices.next();
            }
            _ => path.push_str(segment),
        }
    }
    Place::Body(path)
}
