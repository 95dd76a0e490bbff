//! Guests that greet before they are called, and those whose answer is the last that is heard of them.

use std::time::Instant;

use sandtrap_protocol::{FromGuest, Level, PanicReport, encode_with};

use super::tests::{called, error, hear, hello, result, value};
use super::{Turn, Witness};
use crate::event::Event;
use crate::evidence::StopReason;
use crate::isolation::Attempt;
use crate::limits::Limits;
use crate::quantity::ByteSize;
use crate::task::{Capture, Entry, Stdin, TaskId};

#[test]
fn what_comes_with_an_answer_and_behind_it_counts_against_no_limit() {
    let answer = encode_with(&result(1), &[7; 1000]).unwrap();
    let [hello, word] =
        [(hello(), &b""[..]), (FromGuest::Log { level: Level::Info }, &[b'x'; 50_000])]
            .map(|(frame, tail)| encode_with(&frame, tail).unwrap());
    for (is_last, words, expected) in [
        (true, 1, None),
        // Others are to be silent then.
        (false, 1, Some(StopReason::Result)),
        // The answer itself is beyond the limit.
        (true, 2, Some(StopReason::Result)),
    ] {
        let mut witness = called(ByteSize::bytes(1000), Turn::Only);
        if is_last {
            witness.ends_with_answer();
        }
        let behind = vec![0xff; 200_000];
        let all = [&hello[..], &word.repeat(words), &answer, &behind].concat();
        assert_eq!(witness.hear(&all, &mut |_: Event<'_>| {}), expected, "{is_last} {words}");
        assert_eq!(witness.is_answered(), expected.is_none(), "{is_last} {words}");
        let result = witness.finish().result.map(|it| it.bytes().len());
        assert_eq!(result, expected.is_none().then_some(1000), "{is_last} {words}");
    }
}

#[test]
fn behind_the_answer_of_one_that_is_called_once_nothing_is_heard() {
    let answers = [vec![result(1)], vec![value(), error()]];
    let torn = [7, 0, 0, 0, 5];
    for answer in answers {
        let said: Vec<u8> =
            [hello()].iter().chain(&answer).flat_map(|it| encode_with(it, b"").unwrap()).collect();
        for behind in [encode_with(&result(1), b"").unwrap(), vec![0xff; 300], torn.to_vec()] {
            for is_at_once in [true, false] {
                let mut witness = called(ByteSize::mib(1), Turn::Only);
                witness.ends_with_answer();
                let deaf = &mut |_: Event<'_>| {};
                let all = [&said[..], &behind].concat();
                let heard = match is_at_once {
                    true => witness.hear(&all, deaf),
                    false => witness.hear(&said, deaf).or(witness.hear(&behind, deaf)),
                };
                assert_eq!((heard, witness.is_answered()), (None, true));
                let testimony = witness.finish();
                assert_eq!(testimony.broken, None);
                assert_eq!(testimony.result.is_some(), answer.len() == 1);
            }
        }
    }
}

#[test]
fn what_a_guest_said_before_its_first_call_is_its_greeting_and_nothing_else() {
    let entry = Entry::Command { args: vec![], stdin: Stdin::Null };
    let limits = Limits { result: ByteSize::bytes(1), ..Limits::default() };
    let (task, stdout, began) = (TaskId::next(), Capture::Keep, Instant::now());
    let attempt =
        Attempt { task: &task, entry: &entry, limits: &limits, stdout, began, silence: None };
    let names = || vec!["f".to_owned()];
    let panic = FromGuest::Panic(PanicReport { message: "".into(), place: None, fatal: false });
    for (frames, rest) in [
        (vec![hello(), FromGuest::Functions(names()), FromGuest::Idempotent(names())], vec![]),
        (vec![hello(), FromGuest::Functions(names())], vec![FromGuest::Idempotent(names())]),
        (vec![hello()], vec![FromGuest::Functions(names()), FromGuest::Idempotent(names())]),
    ] {
        let mut before = Witness::of_greeting(&attempt);
        assert!(!before.is_greeted());
        assert_eq!(hear(&mut before, &frames), None);
        assert!(before.is_greeted());
        let mut witness = called(ByteSize::mib(1), Turn::Greeted).having_greeted(before);
        assert_eq!(hear(&mut witness, &rest), None);
        assert_eq!(hear(&mut witness, &[result(1)]), None);
        let testimony = witness.finish();
        assert_eq!((testimony.functions, testimony.idempotent), (names(), names()));
    }
    let mut before = Witness::of_greeting(&attempt);
    assert_eq!(hear(&mut before, &[hello(), panic]), None);
    let mut witness = called(ByteSize::mib(1), Turn::Greeted).having_greeted(before);
    assert_eq!(witness.finish().panic, None);
    let mut before = Witness::of_greeting(&attempt);
    assert_eq!(hear(&mut before, &[hello(), result(1)]), Some(StopReason::Protocol));
    assert!(Witness::of_greeting(&attempt).hear(&[0xff; 300], &mut |_: Event<'_>| {}).is_some());
}
