use serde_json::{Value, json};

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
    /// One of a closed list of words of ASCII letters and `_`, with a comma and a space between two.
    Words(&'static str),
    /// The text of an IPv4 or IPv6 address.
    Ip,
    /// The text of a UUID: five groups of hexadecimal digits, 8-4-4-4-12.
    Uuid,
    /// The text of a time: RFC 3339, or SQL text taken as UTC.
    Time,
    /// A time at most so many seconds from the reader's clock, unless the context sets another window.
    Window {
        /// The seconds, inclusive.
        seconds: u64,
    },
    /// A list of exactly so many elements.
    Items(usize),
    /// An object with at most so many members, of which its type names none.
    MaxMembers(usize),
    /// An object with at most so many members besides those that its type names.
    MaxOpenMembers(usize),
    /// An open object of at most so many levels: it is one, each object or list within is one more.
    MaxDepth(usize),
    /// A text of at most so many bytes in UTF-8, or an open object of at most so many as JSON without spaces and
    /// escapes.
    MaxBytes(usize),
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
            Self::Words(_) => "words",
            Self::Ip => "ip",
            Self::Uuid => "uuid",
            Self::Time => "time",
            Self::Window { .. } => "window",
            Self::Items(_) => "items",
            Self::MaxMembers(_) | Self::MaxOpenMembers(_) => "max_members",
            Self::MaxDepth(_) => "max_depth",
            Self::MaxBytes(_) => "max_bytes",
            Self::Custom => return None,
        })
    }

    /// A JSON Schema (2020-12, formats asserted) that says the same of the value at the place, and nothing of
    /// values of other types. `None` where no schema of that value can: it is about whether the value is there,
    /// about other places, a clock, the depth, the bytes, or the spellings of a time.
    ///
    /// ```
    /// use fleetwire_validation::Keyword;
    ///
    /// let said = Keyword::Range { min: 0, max: 100 }.schema();
    /// assert_eq!(said.expect("a range can be said").to_string(), r#"{"maximum":100,"minimum":0}"#);
    /// assert_eq!(Keyword::MaxDepth(32).schema(), None);
    /// ```
    #[must_use]
    pub fn schema(self) -> Option<Value> {
        Some(match self {
            Self::Minimum(min) => json!({ "minimum": min }),
            Self::Range { min, max } => json!({ "minimum": min, "maximum": max }),
            Self::MinLength(min) => json!({ "minLength": min }),
            Self::MaxLength(max) => json!({ "maxLength": max }),
            Self::Pattern(pattern) => json!({ "pattern": pattern }),
            Self::Words(words) => json!({ "enum": words.split(", ").collect::<Vec<_>>() }),
            Self::Ip => json!({ "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] }),
            Self::Uuid => json!({ "format": "uuid" }),
            Self::Items(exactly) => json!({ "minItems": exactly, "maxItems": exactly }),
            Self::MaxMembers(max) => json!({ "maxProperties": max }),
            Self::Required
            | Self::RequiredUnless(_)
            | Self::RequiredWith(_)
            | Self::OnlyWith(_)
            | Self::Absent
            | Self::Time
            | Self::Window { .. }
            | Self::MaxOpenMembers(_)
            | Self::MaxDepth(_)
            | Self::MaxBytes(_)
            | Self::Custom => return None,
        })
    }

    /// The types, as JSON Schema names them, of the values that it asks anything of; none where that is not
    /// a matter of types.
    #[must_use]
    pub const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Minimum(_) | Self::Range { .. } => &["integer", "number"],
            Self::MinLength(_)
            | Self::MaxLength(_)
            | Self::Pattern(_)
            | Self::Words(_)
            | Self::Ip
            | Self::Uuid
            | Self::Time
            | Self::Window { .. } => &["string"],
            Self::Items(_) => &["array"],
            Self::MaxMembers(_) | Self::MaxOpenMembers(_) | Self::MaxDepth(_) => &["object"],
            Self::MaxBytes(_) => &["object", "string"],
            Self::Required
            | Self::RequiredUnless(_)
            | Self::RequiredWith(_)
            | Self::OnlyWith(_)
            | Self::Absent
            | Self::Custom => &[],
        }
    }
}
