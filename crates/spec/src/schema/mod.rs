//! JSON Schema in one normal form, whichever dialect it was written in.
//!
//! A schema becomes a node of an arena: logic over *atoms*, each of which says one thing about one JSON type and
//! nothing about the others. Equal schemas are one node.

mod arena;
mod error;
mod evaluate;
mod export;
mod node;
mod number;
mod outcome;
mod outside;
mod read;
mod tags;
mod text;
mod transform;
mod types;
mod values;

pub(crate) use arena::Arena;
pub use error::SchemaError;
pub(crate) use node::{Literal, Name, Node};
pub(crate) use number::{Bound, Decimal, NumberGoal};
pub(crate) use outcome::Outcome;
pub(crate) use read::Lexicon;
pub(crate) use text::{Automata, Pattern, TextGoal};
pub(crate) use transform::{Change, Changed};
pub(crate) use types::Types;
pub(crate) use values::{Key, Values};

/// A schema within the [`Prover`](crate::inclusion::Prover) that read or made it. Equal ids are equal schemas; ids
/// of different provers have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub(crate) u32);
