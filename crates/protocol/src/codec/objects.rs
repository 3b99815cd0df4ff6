//! Reads an object from an object, and from nothing else.
//!
//! A struct that derives `Deserialize` is also filled from a list, item by item in the order of its fields:
//! formats that write no names need that, and serde_json offers it. In JSON it would let `[5,4]` pass for
//! `{"total_bytes":5,"free_bytes":4}`, and `[]` for any object whose members are all optional.
//!
//! [`Objects`] asks for a map wherever a struct is wanted. To serde_json the two differ in this alone: a list
//! is never a map. Every value within a value gets a deserializer of its own, so that whatever hands one out
//! or takes one is wrapped as well: visitors, seeds, and the accesses to lists, maps and enums. Keys are texts
//! and pass untouched.
//!
//! It does not reach a struct that is read from what a visitor or serde itself has put in between: a list
//! handed on whole by `SeqAccessDeserializer`, or the contents of an untagged enum. No request and no
//! successful reply holds either.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// A deserializer, or whatever takes part in reading from one, under which no list is an object.
pub(super) struct Objects<T>(pub(super) T);

macro_rules! forward_deserialize {
    ($($method:ident($($arg:ident: $type:ty),*))*) => { $(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($arg,)* Objects(visitor))
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor))
    }
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
    forward_deserialize! {
        deserialize_any() deserialize_ignored_any() deserialize_identifier()
        deserialize_bool() deserialize_char() deserialize_str() deserialize_string()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_bytes() deserialize_byte_buf()
        deserialize_option() deserialize_unit() deserialize_seq() deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }
}

macro_rules! forward_visit {
    ($($method:ident($($value:ident: $type:ty)?))*) => { $(
        fn $method<E: Error>(self, $($value: $type)?) -> Result<V::Value, E> {
            self.0.$method($($value)?)
        }
    )* };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
    forward_visit! {
        visit_bool(value: bool) visit_char(value: char)
        visit_i8(value: i8) visit_i16(value: i16) visit_i32(value: i32) visit_i64(value: i64)
        visit_u8(value: u8) visit_u16(value: u16) visit_u32(value: u32) visit_u64(value: u64)
        visit_i128(value: i128) visit_u128(value: u128) visit_f32(value: f32) visit_f64(value: f64)
        visit_str(value: &str) visit_borrowed_str(value: &'de str) visit_string(value: String)
        visit_bytes(value: &[u8]) visit_borrowed_bytes(value: &'de [u8]) visit_byte_buf(value: Vec<u8>)
        visit_none() visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(deserializer))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(deserializer))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(members))
    }
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }
    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Objects<A::Variant>), A::Error> {
        self.0.variant_seed(seed).map(|(name, contents)| (name, Objects(contents)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Objects(visitor))
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        // `struct_variant` of serde_json takes a list too, and leaves no choice.
        self.0.newtype_variant_seed(Members(visitor))
    }
}

/// Reads the members of a struct variant.
struct Members<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Members<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_map(Objects(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: u8,
        #[serde(default)]
        y: u8,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(Point);
    #[derive(Debug, PartialEq, Deserialize)]
    struct Circle {
        center: Point,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair(u8, Point);
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Nothing,
        Dot(Point),
        Line(Point, Point),
        Circle { center: Point },
    }

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, String> {
        let mut json = serde_json::Deserializer::from_str(json);
        T::deserialize(Objects(&mut json)).map_err(|error| error.to_string())
    }
    fn is_refused<T: fmt::Debug + for<'de> Deserialize<'de>>(json: &str) {
        // Without the adapter it would be read, so that nothing but the list is at fault.
        serde_json::from_str::<T>(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        let error = read::<T>(json).expect_err(json);
        assert!(error.starts_with("invalid type: sequence, expected struct "), "{json}: {error}");
    }

    #[test]
    fn list_is_no_object_wherever_it_stands() {
        is_refused::<Point>("[1,2]");
        is_refused::<Point>("[1]");
        is_refused::<Circle>(r#"{"center":[1,2]}"#);
        is_refused::<Option<Point>>("[1,2]");
        is_refused::<Wrapped>("[1,2]");
        is_refused::<Box<Point>>("[1,2]");
        is_refused::<Vec<Point>>(r#"[{"x":1},[1,2]]"#);
        is_refused::<BTreeMap<String, Option<Vec<Point>>>>(r#"{"a":[[1,2]]}"#);
        is_refused::<Pair>("[1,[1,2]]");
        is_refused::<(u8, Point)>("[1,[1,2]]");
        is_refused::<Shape>(r#"{"dot":[1,2]}"#);
        is_refused::<Shape>(r#"{"line":[{"x":1},[1,2]]}"#);
        is_refused::<Shape>(r#"{"circle":{"center":[1,2]}}"#);
    }

    #[test]
    fn list_is_no_struct_variant() {
        let json = r#"{"circle":[{"x":1}]}"#;
        assert!(serde_json::from_str::<Shape>(json).is_ok());
        let error = read::<Shape>(json).unwrap_err();
        assert!(error.starts_with("invalid type: sequence, expected struct variant "), "{error}");
    }

    #[test]
    fn everything_else_is_read_as_without() {
        fn same<T: fmt::Debug + PartialEq + for<'de> Deserialize<'de>>(json: &str) {
            let plain = serde_json::from_str::<T>(json).map_err(|error| error.to_string());
            assert!(plain.is_ok(), "{json}: {plain:?}");
            assert_eq!(read::<T>(json), plain);
        }
        same::<Point>(r#"{"y":2,"x":1,"z":[[]]}"#);
        same::<Circle>(r#"{"center":{"x":1}}"#);
        same::<Option<Point>>("null");
        same::<Option<Wrapped>>(r#"{"x":1}"#);
        same::<Pair>(r#"[1,{"x":1}]"#);
        same::<Shape>(r#""nothing""#);
        same::<Shape>(r#"{"nothing":null}"#);
        same::<Shape>(r#"{"dot":{"x":1}}"#);
        same::<Shape>(r#"{"line":[{"x":1},{"x":2}]}"#);
        same::<Shape>(r#"{"circle":{"center":{"x":1}}}"#);
        same::<BTreeMap<u8, Vec<(char, f64, bool, ())>>>(r#"{"7":[["a",1.5,true,null]]}"#);
        same::<(i128, u128)>(&format!("[{},{}]", i128::MIN, u128::MAX));
        same::<Value>(r#"{"a":[1,-1,1.5,18446744073709551615,"\u00e9",null,{"b":[]}]}"#);
    }
}
