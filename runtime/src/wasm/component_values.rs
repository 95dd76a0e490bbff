//! The values of components as JSON, and back: what a function takes and returns, by its types.
//!
//! A record is an object, a list or tuple an array, an enum its name, a variant its name or an object with its name and
//! value, flags an array of names, an option null or its value, a result an object with `ok` or `err`. Numbers that are
//! none in JSON are the texts `nan`, `inf` and `-inf`.

use std::io;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::{Map, Value as Json};
use wasmtime::component::types::{Record, ResultType, Type, Variant};
use wasmtime::component::{Type as Ty, Val};

/// What JSON has no form for, if the type holds such a thing.
pub(super) fn beyond_json(ty: &Type) -> Option<&'static str> {
    match ty {
        Ty::Own(_) | Ty::Borrow(_) => Some("a resource"),
        Ty::Future(_) => Some("a future"),
        Ty::Stream(_) => Some("a stream"),
        Ty::ErrorContext => Some("an error context"),
        Ty::Map(_) => Some("a map"),
        Ty::List(list) => beyond_json(&list.ty()),
        Ty::FixedLengthList(list) => beyond_json(&list.ty()),
        Ty::Record(record) => record.fields().find_map(|field| beyond_json(&field.ty)),
        Ty::Tuple(tuple) => tuple.types().find_map(|ty| beyond_json(&ty)),
        Ty::Variant(variant) => {
            variant.cases().filter_map(|case| case.ty).find_map(|ty| beyond_json(&ty))
        }
        Ty::Option(option) => beyond_json(&option.ty()),
        Ty::Result(result) => {
            [result.ok(), result.err()].into_iter().flatten().find_map(|ty| beyond_json(&ty))
        }
        Ty::Bool | Ty::S8 | Ty::U8 | Ty::S16 | Ty::U16 | Ty::S32 | Ty::U32 | Ty::S64 | Ty::U64 => {
            None
        }
        Ty::Float32 | Ty::Float64 | Ty::Char | Ty::String | Ty::Enum(_) | Ty::Flags(_) => None,
    }
}

/// A value of this type. Words say where it is none, and why.
pub(super) fn read(json: &Json, ty: &Type, at: &str) -> Result<Val, String> {
    let wanted = |what: &str| Err(format!("{at}: {what} is wanted, and not {}", shown(json)));
    let integer = json.as_i64();
    macro_rules! number {
        ($val:ident, $what:literal) => {
            match integer.and_then(|number| number.try_into().ok()) {
                Some(number) => Ok(Val::$val(number)),
                None => wanted($what),
            }
        };
    }
    match ty {
        Ty::Bool => json.as_bool().map_or_else(|| wanted("a bool"), |it| Ok(Val::Bool(it))),
        Ty::S8 => number!(S8, "an s8"),
        Ty::U8 => number!(U8, "a u8"),
        Ty::S16 => number!(S16, "an s16"),
        Ty::U16 => number!(U16, "a u16"),
        Ty::S32 => number!(S32, "an s32"),
        Ty::U32 => number!(U32, "a u32"),
        Ty::S64 => number!(S64, "an s64"),
        Ty::U64 => json.as_u64().map_or_else(|| wanted("a u64"), |it| Ok(Val::U64(it))),
        Ty::Float32 => {
            float(json).map_or_else(|| wanted("a number"), |it| Ok(Val::Float32(it as f32)))
        }
        Ty::Float64 => float(json).map_or_else(|| wanted("a number"), |it| Ok(Val::Float64(it))),
        Ty::Char => {
            let mut letters = json.as_str().into_iter().flat_map(str::chars);
            match (letters.next(), letters.next()) {
                (Some(letter), None) => Ok(Val::Char(letter)),
                _ => wanted("a text of one character"),
            }
        }
        Ty::String => {
            json.as_str().map_or_else(|| wanted("a text"), |it| Ok(Val::String(it.to_owned())))
        }
        Ty::List(list) => match json.as_array() {
            Some(all) => each(all, |_| list.ty(), at).map(Val::List),
            None => wanted("an array"),
        },
        Ty::FixedLengthList(list) => match json.as_array() {
            Some(all) if all.len() == list.len() as usize => {
                each(all, |_| list.ty(), at).map(Val::FixedLengthList)
            }
            _ => wanted(&format!("an array of {}", list.len())),
        },
        Ty::Tuple(tuple) => {
            let types: Vec<Type> = tuple.types().collect();
            match json.as_array() {
                Some(all) if all.len() == types.len() => {
                    each(all, |place| types[place].clone(), at).map(Val::Tuple)
                }
                _ => wanted(&format!("an array of {}", types.len())),
            }
        }
        Ty::Record(record) => match json.as_object() {
            Some(map) => fields(map, record, at),
            None => wanted("an object"),
        },
        Ty::Variant(variant) => case(json, variant, at),
        Ty::Enum(names) => match json.as_str() {
            Some(name) if names.names().any(|known| known == name) => {
                Ok(Val::Enum(name.to_owned()))
            }
            _ => wanted(&format!("one of {}", list(names.names()))),
        },
        Ty::Flags(names) => {
            let known = |flag: &Json| {
                let flag = flag.as_str()?;
                names.names().any(|name| name == flag).then(|| flag.to_owned())
            };
            let flags = json.as_array().and_then(|all| all.iter().map(known).collect());
            flags.map_or_else(
                || wanted(&format!("an array of {}", list(names.names()))),
                |flags| Ok(Val::Flags(flags)),
            )
        }
        Ty::Option(_) if json.is_null() => Ok(Val::Option(None)),
        Ty::Option(option) => {
            read(json, &option.ty(), at).map(|value| Val::Option(Some(Box::new(value))))
        }
        Ty::Result(result) => ended(json, result, at),
        Ty::Map(_)
        | Ty::Own(_)
        | Ty::Borrow(_)
        | Ty::Future(_)
        | Ty::Stream(_)
        | Ty::ErrorContext => wanted("what JSON has no form for"),
    }
}

fn each(all: &[Json], ty: impl Fn(usize) -> Type, at: &str) -> Result<Vec<Val>, String> {
    let read = |(place, one)| read(one, &ty(place), &format!("{at}[{place}]"));
    all.iter().enumerate().map(read).collect()
}

fn fields(map: &Map<String, Json>, record: &Record, at: &str) -> Result<Val, String> {
    let is_known = |name: &String| record.fields().any(|field| field.name == name);
    if let Some(unknown) = map.keys().find(|name| !is_known(name)) {
        let known = list(record.fields().map(|field| field.name));
        return Err(format!("{at}: there is no field `{unknown}`; there are {known}"));
    }
    let field = |name: &str, ty: &Type| {
        let place = format!("{at}.{name}");
        match (map.get(name), ty) {
            (Some(value), _) => read(value, ty, &place),
            (None, Ty::Option(_)) => Ok(Val::Option(None)),
            (None, _) => Err(format!("{place}: it is missing")),
        }
    };
    let all = record.fields().map(|it| Ok((it.name.to_owned(), field(it.name, &it.ty)?)));
    all.collect::<Result<_, String>>().map(Val::Record)
}

/// The only key of an object with its value, or a text that stands for a key without one.
fn named(json: &Json) -> Option<(&str, &Json)> {
    match json {
        Json::String(name) => Some((name, &Json::Null)),
        Json::Object(map) if map.len() == 1 => {
            map.iter().next().map(|(name, value)| (name.as_str(), value))
        }
        _ => None,
    }
}

fn case(json: &Json, variant: &Variant, at: &str) -> Result<Val, String> {
    let found = named(json).and_then(|(name, value)| {
        variant.cases().find(|case| case.name == name).map(|case| (name, case.ty, value))
    });
    let Some((name, ty, value)) = found else {
        let names = list(variant.cases().map(|case| case.name));
        let words = format!("one of {names}, alone or as an object with its value");
        return Err(format!("{at}: {words} is wanted, and not {}", shown(json)));
    };
    let value = held(value, ty, &format!("{at}.{name}"))?;
    Ok(Val::Variant(name.to_owned(), value))
}

fn ended(json: &Json, result: &ResultType, at: &str) -> Result<Val, String> {
    match named(json) {
        Some(("ok", value)) => {
            held(value, result.ok(), &format!("{at}.ok")).map(|value| Val::Result(Ok(value)))
        }
        Some(("err", value)) => {
            held(value, result.err(), &format!("{at}.err")).map(|value| Val::Result(Err(value)))
        }
        _ => Err(format!("{at}: an object with `ok` or `err` is wanted, and not {}", shown(json))),
    }
}

fn held(value: &Json, ty: Option<Type>, at: &str) -> Result<Option<Box<Val>>, String> {
    match ty {
        Some(ty) => read(value, &ty, at).map(|value| Some(Box::new(value))),
        None if value.is_null() => Ok(None),
        None => Err(format!("{at}: it has no value, and {} was given", shown(value))),
    }
}

/// Numbers that JSON has none of are texts.
fn float(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some("nan") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => json.as_f64(),
    }
}

/// The value as JSON, or null where there is none. `None` if it would be longer than that: what a guest makes small can be
/// large as text, so it is never put together first.
pub(super) fn write(value: Option<&Val>, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bounded = Bounded { bytes: Vec::new(), most, is_full: false };
    let written = serde_json::to_writer(&mut bounded, &value.map(Written));
    match bounded.is_full {
        true => Ok(None),
        false => written.map(|()| Some(bounded.bytes)).map_err(io::Error::from),
    }
}

/// Takes so many bytes, and then no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value in the form in which it is told.
struct Written<'a>(&'a Val);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Val::Bool(it) => out.serialize_bool(*it),
            Val::S8(it) => out.serialize_i8(*it),
            Val::U8(it) => out.serialize_u8(*it),
            Val::S16(it) => out.serialize_i16(*it),
            Val::U16(it) => out.serialize_u16(*it),
            Val::S32(it) => out.serialize_i32(*it),
            Val::U32(it) => out.serialize_u32(*it),
            Val::S64(it) => out.serialize_i64(*it),
            Val::U64(it) => out.serialize_u64(*it),
            Val::Float32(it) if it.is_finite() => out.serialize_f32(*it),
            Val::Float64(it) if it.is_finite() => out.serialize_f64(*it),
            Val::Float32(it) => out.serialize_str(no_number((*it).into())),
            Val::Float64(it) => out.serialize_str(no_number(*it)),
            Val::Char(it) => out.serialize_char(*it),
            Val::String(text) | Val::Enum(text) | Val::Variant(text, None) => {
                out.serialize_str(text)
            }
            Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => {
                out.collect_seq(values.iter().map(Written))
            }
            Val::Record(fields) => {
                out.collect_map(fields.iter().map(|(name, value)| (name, Written(value))))
            }
            Val::Variant(name, Some(value)) => out.collect_map([(name, Written(value))]),
            Val::Option(value) => maybe(value).serialize(out),
            Val::Result(Ok(value)) => out.collect_map([("ok", maybe(value))]),
            Val::Result(Err(value)) => out.collect_map([("err", maybe(value))]),
            Val::Flags(names) => out.collect_seq(names),
            Val::Map(_)
            | Val::Resource(_)
            | Val::Future(_)
            | Val::Stream(_)
            | Val::ErrorContext(_) => Err(S::Error::custom("it has no form in JSON")),
        }
    }
}

fn maybe(value: &Option<Box<Val>>) -> Option<Written<'_>> {
    value.as_deref().map(Written)
}

/// The word for a number that JSON has none of.
fn no_number(number: f64) -> &'static str {
    match number {
        _ if number.is_nan() => "nan",
        _ if number > 0.0 => "inf",
        _ => "-inf",
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A value in an error, as far as it is short.
fn shown(json: &Json) -> String {
    const LONGEST: usize = 60;
    match json.to_string() {
        text if text.len() <= LONGEST => format!("`{text}`"),
        text => format!("`{} …`", text.chars().take(LONGEST).collect::<String>()),
    }
}
