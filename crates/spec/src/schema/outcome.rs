//! What a solver of one JSON type answers.

/// The answer to "is there a value that satisfies all of this?".
///
/// Values stand smallest and most readable first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    /// Proved: no value satisfies the goal.
    Empty,
    /// At least one value satisfies the goal.
    Found {
        /// Distinct values, each of which satisfies the goal; at least one, at most as many as were wanted.
        values: Vec<T>,
        /// Proved: no value but these satisfies the goal.
        complete: bool,
    },
    /// Neither proved empty nor a value found that surely satisfies the goal.
    Unknown {
        /// Values that satisfy what could be modelled; another judge may find that one of them does.
        candidates: Vec<T>,
        /// Why it is undecided; each is the end of a sentence that begins "undecided because".
        reasons: Vec<String>,
    },
}
