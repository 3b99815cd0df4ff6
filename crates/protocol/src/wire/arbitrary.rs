//! Proptest strategies for the field shapes. They draw only what a message can carry: finite numbers whose
//! text is exact, and members that no typed field has already taken.
//!
//! ```
//! use fleetwire_protocol::wire::arbitrary::json;
//! use proptest::strategy::{Strategy, ValueTree};
//! use proptest::test_runner::TestRunner;
//!
//! let value = json().new_tree(&mut TestRunner::deterministic()).unwrap().current();
//! assert_eq!(serde_json::from_str::<serde_json::Value>(&value.to_string()).unwrap(), value);
//! ```

use proptest::arbitrary::{Arbitrary, any};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use serde_json::Value;

use super::{FreeMap, Number, OneOrMany, Word};

/// Words of a list, known and unknown.
pub fn word<W: Word + std::fmt::Debug + 'static>() -> BoxedStrategy<W> {
    prop_oneof![
        3 => select(W::KNOWN).prop_map(W::from),
        1 => "[a-z_]{0,12}".prop_map(|word| W::from(word.as_str())),
    ]
    .boxed()
}

/// Any JSON value, a few levels deep.
pub fn json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z]{1,6}", inner, 0..3).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
    .boxed()
}

impl Arbitrary for Number {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![
            any::<i32>().prop_map(Self::from),
            any::<i32>().prop_map(|n| Self::new(f64::from(n) / 1000.0)),
        ]
        .boxed()
    }
}

impl Arbitrary for FreeMap {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        // The prefix keeps flattened members apart from typed ones.
        btree_map("x_[a-z]{1,6}", json(), 0..4).prop_map(Self).boxed()
    }
}

impl<T: Arbitrary + 'static> Arbitrary for OneOrMany<T> {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        // One is what we write; the other forms are only read.
        any::<T>().prop_map(Self::from).boxed()
    }
}
