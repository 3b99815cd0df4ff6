//! Whether a value says what a row has packed, without unpacking the row or building a JSON value of what is said.

use serde::Serialize;
use serde::ser::{self, Impossible, Serializer};

use super::{AgentLook, Reader};

impl AgentLook<'_> {
    /// Whether the row has each member of `said` as a fact, just so; members called as one of `except` are passed over,
    /// and what else the row has does not matter.
    pub(crate) fn has_facts(&self, said: &impl Serialize, except: &[&str]) -> bool {
        let mut rest = self.facts();
        said.serialize(Same { reader: &mut rest, what: What::Facts(except) }).is_ok()
    }
}

/// Serializes a value against one that is packed: it reads instead of writing. What comes out differently only by the
/// way it was serialized counts as another, which costs a needless write and loses nothing.
struct Same<'r, 'a> {
    reader: &'r mut Reader<'a>,
    what: What<'r>,
}

/// What is read.
#[derive(Clone, Copy)]
enum What<'r> {
    Value,
    /// The name of a member, which is a text and nothing else.
    Name,
    /// The facts of a row, without those of these names.
    Facts(&'r [&'r str]),
}

/// The two are not the same.
#[derive(Debug, thiserror::Error)]
#[error("not the same")]
struct Differs;

impl ser::Error for Differs {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

fn same(is_same: bool) -> Result<(), Differs> {
    if is_same { Ok(()) } else { Err(Differs) }
}

impl<'r, 'a> Same<'r, 'a> {
    /// Reads what kind of value it is.
    fn is(&mut self, kind: u8) -> Result<(), Differs> {
        same(matches!(self.what, What::Value) && self.reader.byte() == kind)
    }

    fn members(mut self) -> Result<Members<'r, 'a>, Differs> {
        let except: &[_] = match self.what {
            What::Facts(except) => except,
            _ => {
                self.is(9)?;
                &[]
            }
        };
        let is_whole = matches!(self.what, What::Value);
        let count = self.reader.length();
        let (first, next) = (*self.reader, *self.reader);
        Ok(Members { reader: self.reader, except, is_whole, count, first, next, left: count, found: 0 })
    }
}

/// The members of an object. They are packed in the order of their names, and may be said in any.
struct Members<'r, 'a> {
    reader: &'r mut Reader<'a>,
    except: &'r [&'r str],
    /// Whether each that is packed has to be said.
    is_whole: bool,
    count: usize,
    first: Reader<'a>,
    /// Where the one after the last one found lies, and how many there are from there on.
    next: Reader<'a>,
    left: usize,
    found: usize,
}

impl Members<'_, '_> {
    fn member(
        &mut self,
        name: &(impl Serialize + ?Sized),
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Differs> {
        let is_named = |reader: &mut Reader<'_>| name.serialize(Same { reader, what: What::Name }).is_ok();
        let mut ahead = self.count;
        let mut at = loop {
            ahead = ahead.checked_sub(1).ok_or(Differs)?;
            if self.left == 0 {
                (self.next, self.left) = (self.first, self.count);
            }
            self.left -= 1;
            let mut at = self.next;
            if is_named(&mut at) {
                break at;
            }
            self.next.unread();
            self.next.pass_over();
        };
        value.serialize(Same { reader: &mut at, what: What::Value })?;
        self.next = at;
        self.found += 1;
        Ok(())
    }

    fn done(mut self) -> Result<(), Differs> {
        same(!self.is_whole || self.found == self.count)?;
        for _ in 0..self.left {
            self.next.unread();
            self.next.pass_over();
        }
        *self.reader = self.next;
        Ok(())
    }
}

impl ser::SerializeMap for Members<'_, '_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        name: &K,
        value: &V,
    ) -> Result<(), Differs> {
        self.member(name, value)
    }
    // Every map that facts are made of hands over both at once.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Differs> {
        Err(Differs)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Differs> {
        Err(Differs)
    }
    fn end(self) -> Result<(), Differs> {
        self.done()
    }
}

impl ser::SerializeStruct for Members<'_, '_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Differs> {
        if self.except.contains(&name) { Ok(()) } else { self.member(name, value) }
    }
    fn end(self) -> Result<(), Differs> {
        self.done()
    }
}

/// The items of a list.
struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
}

impl ser::SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Differs> {
        self.left = self.left.checked_sub(1).ok_or(Differs)?;
        item.serialize(Same { reader: self.reader, what: What::Value })
    }
    fn end(self) -> Result<(), Differs> {
        same(self.left == 0)
    }
}

macro_rules! widened {
    ($($method:ident($type:ty) as $as:ident)*) => { $(
        fn $method(self, number: $type) -> Result<(), Differs> {
            self.$as(number.into())
        }
    )* };
}

impl<'r, 'a> Serializer for Same<'r, 'a> {
    type Ok = ();
    type Error = Differs;
    type SerializeSeq = Items<'r, 'a>;
    type SerializeMap = Members<'r, 'a>;
    type SerializeStruct = Members<'r, 'a>;
    type SerializeTuple = Impossible<(), Differs>;
    type SerializeTupleStruct = Impossible<(), Differs>;
    type SerializeTupleVariant = Impossible<(), Differs>;
    type SerializeStructVariant = Impossible<(), Differs>;

    widened! {
        serialize_i8(i8) as serialize_i64
        serialize_i16(i16) as serialize_i64
        serialize_i32(i32) as serialize_i64
        serialize_u8(u8) as serialize_u64
        serialize_u16(u16) as serialize_u64
        serialize_u32(u32) as serialize_u64
        serialize_f32(f32) as serialize_f64
    }
    fn serialize_u64(mut self, number: u64) -> Result<(), Differs> {
        self.is(4)?;
        same(self.reader.count() == number)
    }
    fn serialize_i64(mut self, number: i64) -> Result<(), Differs> {
        if let Ok(number) = number.try_into() {
            return self.serialize_u64(number);
        }
        self.is(5)?;
        same(self.reader.number() == number)
    }
    fn serialize_f64(mut self, number: f64) -> Result<(), Differs> {
        self.is(6)?;
        #[expect(clippy::float_cmp, reason = "whether it is the very same is the question")]
        same(self.reader.float() == number)
    }
    fn serialize_bool(mut self, is_set: bool) -> Result<(), Differs> {
        self.is(if is_set { 2 } else { 1 })
    }
    fn serialize_str(mut self, text: &str) -> Result<(), Differs> {
        if !matches!(self.what, What::Name) {
            self.is(3)?;
        }
        same(self.reader.unread() == text.as_bytes())
    }
    fn serialize_char(self, letter: char) -> Result<(), Differs> {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }
    fn serialize_unit(mut self) -> Result<(), Differs> {
        self.is(0)
    }
    fn serialize_none(self) -> Result<(), Differs> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Differs> {
        value.serialize(self)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Differs> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, word: &'static str) -> Result<(), Differs> {
        self.serialize_str(word)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Differs> {
        value.serialize(self)
    }
    fn serialize_seq(mut self, _: Option<usize>) -> Result<Items<'r, 'a>, Differs> {
        self.is(8)?;
        let left = self.reader.length();
        Ok(Items { reader: self.reader, left })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'r, 'a>, Differs> {
        self.members()
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'r, 'a>, Differs> {
        self.members()
    }

    // No fact is any of these.
    fn serialize_bytes(self, _: &[u8]) -> Result<(), Differs> {
        Err(Differs)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Differs> {
        Err(Differs)
    }
    fn serialize_tuple(self, _: usize) -> Result<Impossible<(), Differs>, Differs> {
        Err(Differs)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Impossible<(), Differs>, Differs> {
        Err(Differs)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Differs>, Differs> {
        Err(Differs)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Differs>, Differs> {
        Err(Differs)
    }
}
