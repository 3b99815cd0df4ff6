use std::sync::Arc;

use super::SchemaId;
use super::number::{Bound, Decimal};
use super::text::{Format, Pattern};
use super::types::Types;
use super::values::Values;

/// The name of a member.
pub(crate) type Name = Arc<str>;

/// One schema. Atoms constrain their own type alone and are true of every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Always,
    Never,
    /// True of everything: marks an object that is declared open.
    Open,
    Type(Types),
    Values(Arc<Values>),

    Lower(Bound),
    Upper(Bound),
    MultipleOf(Decimal),

    MinLength(u64),
    MaxLength(u64),
    Pattern(Arc<Pattern>),
    Format(Format),

    MinItems(u64),
    MaxItems(u64),
    Unique,
    /// The item at this index, if there is one.
    Item(usize, SchemaId),
    /// Every item from this index on.
    Rest(usize, SchemaId),
    /// At least so many items are of this kind.
    ContainsMin(SchemaId, u64),
    /// At most so many items are of this kind.
    ContainsMax(SchemaId, u64),
    /// Every item that `of` did not evaluate.
    UnevaluatedItems {
        of: SchemaId,
        schema: SchemaId,
    },

    MinProperties(u64),
    MaxProperties(u64),
    /// The member is there.
    Has(Name),
    /// The member, if it is there.
    Property(Name, SchemaId),
    /// Every member whose name matches.
    Matching(Arc<Pattern>, SchemaId),
    /// Every member which is neither named (sorted) nor matched.
    Others {
        names: Arc<[Name]>,
        patterns: Arc<[Arc<Pattern>]>,
        schema: SchemaId,
    },
    /// Every name, as a string.
    Names(SchemaId),
    /// Every member that `of` did not evaluate.
    UnevaluatedProperties {
        of: SchemaId,
        schema: SchemaId,
    },

    All(Arc<[SchemaId]>),
    Any(Arc<[SchemaId]>),
    /// Exactly one holds.
    One(Arc<[SchemaId]>),
    Not(SchemaId),
    /// A schema that contains itself.
    Reference(u32),
}

impl Node {
    /// The schemas that this one is made of.
    pub(crate) fn children(&self) -> impl Iterator<Item = SchemaId> {
        let (one, other, list): (Option<SchemaId>, Option<SchemaId>, &[SchemaId]) = match self {
            Self::Item(_, schema)
            | Self::Rest(_, schema)
            | Self::ContainsMin(schema, _)
            | Self::ContainsMax(schema, _)
            | Self::Property(_, schema)
            | Self::Matching(_, schema)
            | Self::Others { schema, .. }
            | Self::Names(schema)
            | Self::Not(schema) => (Some(*schema), None, &[]),
            Self::UnevaluatedItems { of, schema } | Self::UnevaluatedProperties { of, schema } => {
                (Some(*of), Some(*schema), &[])
            }
            Self::All(parts) | Self::Any(parts) | Self::One(parts) => (None, None, parts),
            _ => (None, None, &[]),
        };
        one.into_iter().chain(other).chain(list.iter().copied())
    }
}

/// A schema that must hold, or must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Literal(u32);

impl Literal {
    pub(crate) fn holds(schema: SchemaId) -> Self {
        Self(schema.0 << 1)
    }

    pub(crate) fn fails(schema: SchemaId) -> Self {
        Self(schema.0 << 1 | 1)
    }

    pub(crate) fn new(schema: SchemaId, positive: bool) -> Self {
        if positive { Self::holds(schema) } else { Self::fails(schema) }
    }

    pub(crate) fn schema(self) -> SchemaId {
        SchemaId(self.0 >> 1)
    }

    pub(crate) fn positive(self) -> bool {
        self.0 & 1 == 0
    }

    pub(crate) fn opposite(self) -> Self {
        Self(self.0 ^ 1)
    }
}
