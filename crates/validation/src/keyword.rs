/// What a rule asks of its place. Lengths count Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keyword {
    /// It must be there.
    Required,
    /// It must be there unless the other place (a pointer, or `header:` and a name) is.
    RequiredUnless(&'static str),
    /// It must be there if the other place is.
    RequiredWith(&'static str),
    /// It must not be there unless the other place is.
    OnlyWith(&'static str),
    /// It must not be there.
    Absent,
    /// A number that is not less.
    Minimum(i32),
    /// A number within bounds, both inclusive.
    Range {
        /// The least.
        min: i32,
        /// The greatest.
        max: i32,
    },
    /// A text that is not shorter.
    MinLength(usize),
    /// A text that is not longer.
    MaxLength(usize),
    /// A text of one or more characters of a class: `^[…]+$` with single characters and ranges in it.
    Pattern(&'static str),
    /// The text of an IPv4 or IPv6 address.
    Ip,
    /// The text of a time: RFC 3339, or SQL text taken as UTC.
    Time,
    /// A time at most so many seconds from the reader's clock, unless the context sets another window.
    Window {
        /// The seconds, inclusive.
        seconds: u64,
    },
    /// A list of exactly so many elements.
    Items(usize),
    /// An open object with at most so many members that its type does not name, those of objects inside it
    /// included.
    MaxMembers(usize),
    /// What only its statement says.
    Custom,
}

impl Keyword {
    /// The word with which the ids of its rules end; a custom rule has one of its own.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Required => "required",
            Self::RequiredUnless(_) => "required_unless",
            Self::RequiredWith(_) => "required_with",
            Self::OnlyWith(_) => "only_with",
            Self::Absent => "absent",
            Self::Minimum(_) => "minimum",
            Self::Range { .. } => "range",
            Self::MinLength(_) => "min_length",
            Self::MaxLength(_) => "max_length",
            Self::Pattern(_) => "pattern",
            Self::Ip => "ip",
            Self::Time => "time",
            Self::Window { .. } => "window",
            Self::Items(_) => "items",
            Self::MaxMembers(_) => "max_members",
            Self::Custom => return None,
        })
    }
}
