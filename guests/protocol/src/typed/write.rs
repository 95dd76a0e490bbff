//! Notes what is written, and has it written.

use core::fmt::Display;

use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

use super::{Kind, Shape};

/// A value whose kinds are noted.
pub(super) struct Traced<'a, T: ?Sized> {
    pub(super) value: &'a T,
    pub(super) shape: &'a Shape,
}

impl<T: Serialize + ?Sized> Serialize for Traced<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Tracing { inner, shape: self.shape })
    }
}

struct Tracing<'a, S> {
    inner: S,
    shape: &'a Shape,
}

/// A value of many parts.
pub(super) struct Parts<'a, C> {
    inner: C,
    shape: &'a Shape,
    last: u64,
}

impl<'a, S> Tracing<'a, S> {
    fn noted(self, kind: Kind) -> S {
        self.shape.note(kind);
        self.inner
    }

    fn parts<C, E>(
        self,
        kind: Kind,
        begin: impl FnOnce(S) -> Result<C, E>,
    ) -> Result<Parts<'a, C>, E> {
        self.shape.note(kind);
        Ok(Parts { inner: begin(self.inner)?, shape: self.shape, last: 0 })
    }
}

macro_rules! plain {
    ($($method:ident($ty:ty) $kind:ident;)*) => {
        $(fn $method(self, value: $ty) -> Result<S::Ok, S::Error> {
            self.noted(Kind::$kind).$method(value)
        })*
    };
}

impl<'a, S: Serializer> Serializer for Tracing<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'a, S::SerializeSeq>;
    type SerializeTuple = Parts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'a, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'a, S::SerializeMap>;
    type SerializeStruct = Parts<'a, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'a, S::SerializeStructVariant>;

    plain! {
        serialize_bool(bool) Bool;
        serialize_i8(i8) I8;
        serialize_i16(i16) I16;
        serialize_i32(i32) I32;
        serialize_i64(i64) I64;
        serialize_i128(i128) I128;
        serialize_u8(u8) U8;
        serialize_u16(u16) U16;
        serialize_u32(u32) U32;
        serialize_u64(u64) U64;
        serialize_u128(u128) U128;
        serialize_f32(f32) F32;
        serialize_f64(f64) F64;
        serialize_char(char) Char;
        serialize_str(&str) Text;
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<S::Ok, S::Error> {
        self.shape.bytes(bytes.is_empty());
        self.inner.serialize_bytes(bytes)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.noted(Kind::Maybe).serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let shape = self.shape;
        self.noted(Kind::Maybe).serialize_some(&Traced { value, shape })
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.noted(Kind::Unit).serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.noted(Kind::Unit).serialize_unit_struct(name)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.noted(Kind::UnitVariant).serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &Traced { value, shape: self.shape })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Traced { value, shape: self.shape };
        let inner = self.noted(Kind::NewtypeVariant);
        inner.serialize_newtype_variant(name, index, variant, &value)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.parts(Kind::Sequence, |inner| inner.serialize_seq(length))
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.parts(Kind::Group, |inner| inner.serialize_tuple(length))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.parts(Kind::Group, |inner| inner.serialize_tuple_struct(name, length))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.parts(Kind::GroupVariant, |inner| {
            inner.serialize_tuple_variant(name, index, variant, length)
        })
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.parts(Kind::Map, |inner| inner.serialize_map(length))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.parts(Kind::Group, |inner| inner.serialize_struct(name, length))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.parts(Kind::GroupVariant, |inner| {
            inner.serialize_struct_variant(name, index, variant, length)
        })
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.noted(Kind::Text).collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<C: SerializeSeq> SerializeSeq for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let Self { inner, shape, last } = self;
        shape.element(last, || inner.serialize_element(&Traced { value, shape }))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.shape.note(Kind::End);
        self.inner.end()
    }
}

impl<C: SerializeMap> SerializeMap for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let Self { inner, shape, last } = self;
        shape.element(last, || inner.serialize_key(&Traced { value, shape }))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let Self { inner, shape, last } = self;
        shape.element(last, || inner.serialize_value(&Traced { value, shape }))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.shape.note(Kind::End);
        self.inner.end()
    }
}

/// Groups of fields, each of which counts.
macro_rules! group {
    ($($part:ident $method:ident($($key:ident)?);)*) => {
        $(impl<C: $part> $part for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($key: &'static str,)?
                value: &T,
            ) -> Result<(), C::Error> {
                let shape = self.shape;
                self.inner.$method($($key,)? &Traced { value, shape })
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.shape.note(Kind::End);
                self.inner.end()
            }
        })*
    };
}

group! {
    SerializeTuple serialize_element();
    SerializeTupleStruct serialize_field();
    SerializeTupleVariant serialize_field();
    SerializeStruct serialize_field(key);
    SerializeStructVariant serialize_field(key);
}
