//! Values of every kind come back, and nothing comes back as what it isn't.

use super::*;
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use serde::de::DeserializeOwned;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(u8),
    Tuple(u8, i64),
    Struct { text: String, more: Option<u32> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Name(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    choices: Vec<Choice>,
    name: Name,
    nothing: Nothing,
    map: BTreeMap<u16, (char, bool)>,
    numbers: (i8, i16, i32, i128, u128, f32, f64),
    bytes: Vec<u8>,
    array: [u16; 3],
    deep: Option<Vec<Option<Vec<u32>>>>,
    #[serde(alias = "other")]
    unit: (),
}

fn everything() -> Everything {
    Everything {
        choices: vec![
            Choice::Unit,
            Choice::Newtype(7),
            Choice::Tuple(1, -1),
            Choice::Struct { text: "x".to_owned(), more: Some(3) },
            Choice::Struct { text: String::new(), more: None },
        ],
        name: Name("n".to_owned()),
        nothing: Nothing,
        map: [(1, ('a', true)), (2, ('é', false))].into(),
        numbers: (-1, -2, -3, i128::MIN, u128::MAX, 0.5, -0.5),
        bytes: vec![0, 255],
        array: [1, 2, 3],
        deep: Some(vec![None, Some(vec![]), Some(vec![1, 2])]),
        unit: (),
    }
}

fn returns<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
    let bytes = typed_to_vec(value).unwrap();
    assert_eq!(typed_from_slice::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn every_kind_of_value_comes_back() {
    returns(&everything());
    returns(&vec![everything(), everything()]);
    returns(&());
    returns(&Some(Some(0_u8)));
    returns(&Vec::<String>::new());
    returns(&Ok::<u8, String>(1));
    returns(&BTreeMap::<String, Vec<u8>>::new());
}

#[test]
fn nothing_is_read_as_what_it_is_not() {
    let number = typed_to_vec(&7_u32).unwrap();
    assert_eq!(typed_from_slice::<u64>(&number), Err(TypedFault::OtherType));
    assert_eq!(typed_from_slice::<i32>(&number), Err(TypedFault::OtherType));
    assert_eq!(typed_from_slice::<(u32,)>(&number), Err(TypedFault::OtherType));
    assert_eq!(typed_from_slice::<(u32, u32)>(&number), Err(TypedFault::TooShort));
    assert_eq!(typed_from_slice::<()>(&number), Err(TypedFault::LeftOver(1)));
    let text = typed_to_vec("abc").unwrap();
    assert_eq!(typed_from_slice::<Vec<u8>>(&text), Err(TypedFault::OtherType));
    let pair = typed_to_vec(&(1_u8, 2_u8)).unwrap();
    assert_eq!(typed_from_slice::<[u8; 1]>(&pair), Err(TypedFault::LeftOver(1)));
    assert_eq!(typed_from_slice::<(u8, bool)>(&pair), Err(TypedFault::Malformed));
    assert_eq!(typed_from_slice::<Choice>(&pair), Err(TypedFault::OtherType));
    let many = typed_to_vec(&vec![1_u8, 2, 3]).unwrap();
    assert_eq!(typed_from_slice::<Vec<i8>>(&many), Err(TypedFault::OtherType));
    assert_eq!(typed_from_slice::<u8>(&[1, 2, 3]), Err(TypedFault::TooShort));
}

#[test]
fn names_do_not_count_and_the_order_does() {
    let bytes = typed_to_vec(&(7_u8, -1_i64)).unwrap();
    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        one: u8,
        two: i64,
    }
    assert_eq!(typed_from_slice::<Pair>(&bytes), Ok(Pair { one: 7, two: -1 }));
    assert_eq!(
        typed_from_slice::<(i64, u8)>(&typed_to_vec(&(1_u8, 2_i64)).unwrap()),
        Err(TypedFault::OtherType)
    );
    let name = typed_to_vec("n").unwrap();
    assert_eq!(typed_from_slice::<Name>(&name), Ok(Name("n".to_owned())));
}

#[test]
fn bytes_are_the_same_whole_or_one_by_one() {
    for bytes in [vec![], vec![7_u8], (0..=255).collect()] {
        let whole = typed_bytes_to_vec(&bytes).unwrap();
        assert_eq!(whole, typed_to_vec(&bytes).unwrap());
        assert_eq!(typed_bytes(&whole), Ok(&bytes[..]));
        assert_eq!(typed_from_slice::<Vec<u8>>(&whole), Ok(bytes));
    }
}

#[test]
fn the_bytes_of_a_typed_value_stay_the_same() {
    let bytes = typed_to_vec(&(7_u8, "x", [Some(1.5_f32), None], Choice::Tuple(1, 2))).unwrap();
    let (value, fingerprint) = bytes.split_last_chunk::<FINGERPRINT>().unwrap();
    assert_eq!(value, b"\x07\x01x\x01\0\0\xc0\x3f\0\x02\x01\x04");
    assert_eq!(u32::from_le_bytes(*fingerprint), 2_756_419_887);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum List {
    End,
    Next(Box<List>),
}

#[test]
fn who_writes_values_within_values_takes_no_more_stack_of_their_reader_than_he_gives() {
    let list = |length| (0..length).fold(List::End, |list, _| List::Next(Box::new(list)));
    returns(&list(MOST_DEPTH as usize - 1));
    let written = typed_to_vec(&list(MOST_DEPTH as usize)).unwrap();
    assert_eq!(typed_from_slice::<List>(&written), Err(TypedFault::TooMuch));
    for word in [1_u8, 0x81] {
        let endless = vec![word; 4 << 20];
        assert!(typed_from_slice::<List>(&endless).is_err(), "{word}");
    }
    let deep = vec![1_u8; 4 << 20];
    assert_eq!(typed_from_slice::<List>(&deep), Err(TypedFault::TooMuch));
    // What stands side by side is not deep.
    returns(&(0..300).map(|_| everything()).collect::<Vec<_>>());
}

#[test]
fn elements_without_bytes_end_where_nobody_would_wait_for_them_any_more() {
    returns(&vec![(); 1_000]);
    returns(&vec![[(); 2]; 70_000]);
    let count = postcard::to_allocvec(&u64::MAX).unwrap();
    let endless = [&count[..], &[0; 4]].concat();
    assert_eq!(typed_from_slice::<Vec<()>>(&endless), Err(TypedFault::TooMuch));
}
