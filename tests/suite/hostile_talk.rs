//! Guests that talk against the rules, byte by byte as a script says, behind both walls. None of them hangs, harms the
//! host or makes it grow; each has the verdict of its misbehaviour.

mod growth;
mod script;

use std::time::Duration;

use sandtrap::{
    Access, ByteSize, Codec, Level, Limits, Loaded, Payload, Permissions, Profile, Program,
    Runtime, Task, Wall,
};
use sandtrap_protocol::{FromGuest, MAX_FRAME, VERSION, encode, encode_with};
use sandtrap_tests::guests;

use growth::Growth;
pub(super) use script::{Script, emit, result};
use script::{error, functions, host, panic, value};

const WALLS: [Wall; 2] = [Wall::Native, Wall::Wasm];
const RESULT: u64 = 1 << 20;

/// A name, what is done, and how it ends.
type Row = (&'static str, Script, &'static str);

const PROTOCOL: &str = "crashed.protocol";
const LIMIT: &str = "stopped.result";

/// Bytes that are no frames.
fn broken_frames() -> Vec<Row> {
    let hello = Script::hello;
    let huge = u32::MAX.to_le_bytes();
    let with = |first: &[u8]| [&huge[..], first].concat();
    vec![
        ("a_length_of_4_gib", hello().says(&with(&[1])).hangs(), PROTOCOL),
        ("a_log_of_4_gib", hello().says(&with(&[8])).hangs(), PROTOCOL),
        ("a_value_of_4_gib", hello().says(&with(&[5, 1, 0])).hangs(), LIMIT),
        ("an_empty_frame", hello().says(&[0; 4]).hangs(), PROTOCOL),
        ("an_unknown_kind", hello().says(&[1, 0, 0, 0, 99]).hangs(), PROTOCOL),
        ("a_kind_of_two_bytes", hello().says(&[3, 0, 0, 0, 0x85, 0, 0]).hangs(), PROTOCOL),
        ("bytes_left_over", hello().says(&[3, 0, 0, 0, 3, 1, 9]).hangs(), PROTOCOL),
        ("a_beat_with_a_tail", hello().says(&[2, 0, 0, 0, 11, 1]).hangs(), PROTOCOL),
        ("an_unknown_codec", hello().says(&[3, 0, 0, 0, 5, 1, 3]).hangs(), PROTOCOL),
        ("an_unknown_level", hello().says(&[2, 0, 0, 0, 8, 4]).hangs(), PROTOCOL),
        (
            "an_endless_number",
            hello()
                .says(&[12, 0, 0, 0, 5, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255])
                .hangs(),
            PROTOCOL,
        ),
        (
            "a_text_longer_than_its_frame",
            hello().says(&[6, 0, 0, 0, 1, 255, 255, 255, 255, 15]).hangs(),
            PROTOCOL,
        ),
        (
            "a_list_longer_than_its_frame",
            hello().says(&[6, 0, 0, 0, 4, 255, 255, 255, 255, 15]).hangs(),
            PROTOCOL,
        ),
        ("a_text_that_is_none", hello().says(&[4, 0, 0, 0, 1, 1, 0xff, 0]).hangs(), PROTOCOL),
        ("a_flag_that_is_none", hello().says(&[5, 0, 0, 0, 2, 1, b'x', 0, 7]).hangs(), PROTOCOL),
        ("a_log_that_is_too_long", hello().says(&[2, 0, 1, 0, 8, 1]).hangs(), PROTOCOL),
        (
            "fields_that_never_end",
            hello()
                .says(&{
                    let mut frame = vec![0, 16, 0, 0, 10, 1, 0, 0xff, 0xff, 3];
                    frame.resize(4 + 4096, b'x');
                    frame
                })
                .hangs(),
            PROTOCOL,
        ),
        ("the_hosts_own_words", hello().says(&[2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 4]).hangs(), PROTOCOL),
        ("noise", Script::default().says(&[0x5a; 100]).hangs(), PROTOCOL),
    ]
}

/// Frames out of turn.
fn out_of_turn() -> Vec<Row> {
    let hello = Script::hello;
    vec![
        ("a_result_before_the_greeting", Script::default().frame(&result()).hangs(), PROTOCOL),
        ("two_greetings", hello().frame(&FromGuest::Hello { version: VERSION }).hangs(), PROTOCOL),
        (
            "another_version",
            Script::default().frame(&FromGuest::Hello { version: 2 }).hangs(),
            PROTOCOL,
        ),
        ("two_results", hello().frame(&result()).frame(&result()).hangs(), PROTOCOL),
        ("a_result_after_the_error", hello().frame(&error()).frame(&result()).hangs(), PROTOCOL),
        ("an_error_after_the_result", hello().frame(&result()).frame(&error()).hangs(), PROTOCOL),
        ("two_errors", hello().frame(&error()).frame(&error()).hangs(), PROTOCOL),
        ("a_panic_after_the_error", hello().frame(&error()).frame(&panic()).hangs(), PROTOCOL),
        ("an_item_after_the_result", hello().frame(&result()).frame(&emit(1)).hangs(), PROTOCOL),
        (
            "a_beat_after_the_result",
            hello().frame(&result()).frame(&FromGuest::Beat).hangs(),
            PROTOCOL,
        ),
        (
            "a_result_of_no_call",
            hello().frame(&FromGuest::Return { id: 2, codec: Codec::Raw }).hangs(),
            PROTOCOL,
        ),
        ("an_item_of_no_call", hello().frame(&emit(u64::MAX)).hangs(), PROTOCOL),
        (
            "functions_too_late",
            hello().frame(&FromGuest::Beat).frame(&functions()).hangs(),
            PROTOCOL,
        ),
        ("functions_twice", hello().frame(&functions()).frame(&functions()).hangs(), PROTOCOL),
        (
            "a_value_without_its_error",
            hello().frame(&value()).frame(&FromGuest::Beat).hangs(),
            PROTOCOL,
        ),
        ("two_values_of_an_error", hello().frame(&value()).frame(&value()).hangs(), PROTOCOL),
        ("noise_after_the_result", hello().frame(&result()).says(&[0xff; 5]).hangs(), PROTOCOL),
    ]
}

/// Calls of the host's functions, none of which was granted.
fn host_calls() -> Vec<Row> {
    let hello = Script::hello;
    let many = encode(&host()).unwrap().repeat(100);
    let large = encode_with(&host(), &[7; 65_536]).unwrap();
    let huge = u32::MAX.to_le_bytes();
    vec![
        (
            "a_host_call_that_was_not_granted",
            hello().frame(&host()).frame(&result()).exits(0),
            "completed",
        ),
        ("a_host_call_before_the_greeting", Script::default().frame(&host()).hangs(), PROTOCOL),
        ("a_host_call_after_the_result", hello().frame(&result()).frame(&host()).hangs(), PROTOCOL),
        ("a_host_call_after_the_error", hello().frame(&error()).frame(&host()).hangs(), PROTOCOL),
        (
            "a_host_call_of_no_name",
            hello().says(&[5, 0, 0, 0, 10, 1, 0, 1, 0xff]).hangs(),
            PROTOCOL,
        ),
        ("a_host_call_of_4_gib", hello().says(&[&huge[..], &[10, 1, 0]].concat()).hangs(), LIMIT),
        ("a_hundred_host_calls_at_once", hello().says(&many).hangs(), PROTOCOL),
        ("endless_host_calls", hello().for_ever(&many), PROTOCOL),
        ("endless_large_host_calls", hello().for_ever(&large), LIMIT),
        ("an_exit_within_a_host_call", hello().says(&large[..3000]).exits(0), PROTOCOL),
        ("a_host_call_and_no_result", hello().frame(&host()).exits(0), PROTOCOL),
        ("a_reply_of_the_hosts", hello().says(&[4, 0, 0, 0, 2, 1, 1, 0]).hangs(), PROTOCOL),
    ]
}

/// Results that are said to lie somewhere.
fn placed_values() -> Vec<Row> {
    let hello = Script::hello;
    let placed = |at, length| hello().frame(&FromGuest::Placed { at, length });
    let sent = encode_with(&result(), &[7; 5]).unwrap();
    vec![
        ("a_value_beyond_its_room", placed(1 << 40, 5).frame(&result()).hangs(), PROTOCOL),
        ("a_value_around_the_end", placed(u64::MAX, 2).frame(&result()).hangs(), PROTOCOL),
        ("a_value_of_16_exbibytes", placed(0, u64::MAX).frame(&result()).hangs(), PROTOCOL),
        ("a_value_placed_and_sent", placed(0, 0).says(&sent).hangs(), PROTOCOL),
        ("a_value_placed_twice", placed(0, 0).says(&[3, 0, 0, 0, 12, 0, 0]).hangs(), PROTOCOL),
        ("a_value_placed_for_an_item", placed(0, 0).frame(&emit(1)).hangs(), PROTOCOL),
        ("a_value_placed_for_an_error", placed(0, 0).frame(&error()).hangs(), PROTOCOL),
        ("a_value_placed_for_nothing", placed(0, 0).exits(0), PROTOCOL),
        (
            "a_value_placed_after_the_result",
            hello().frame(&result()).says(&[3, 0, 0, 0, 12, 0, 0]).hangs(),
            PROTOCOL,
        ),
        ("a_value_of_nothing", placed(0, 0).frame(&result()).exits(0), "completed"),
    ]
}

/// Too much, and endings that don't fit what was said.
fn floods_and_ends() -> Vec<Row> {
    let hello = Script::hello;
    let endless =
        |frame: &FromGuest, tail: &[u8]| hello().for_ever(&encode_with(frame, tail).unwrap());
    let log = FromGuest::Log { level: Level::Info };
    let progress = FromGuest::Progress { done: 1, total: None };
    let large = encode_with(&result(), &[7; 5000]).unwrap();
    vec![
        ("endless_items", endless(&emit(1), &[7; 1000]), LIMIT),
        ("endless_empty_items", endless(&emit(1), b""), LIMIT),
        ("endless_logs", endless(&log, &[b'x'; MAX_FRAME - 2]), LIMIT),
        ("endless_progress", endless(&progress, b""), LIMIT),
        ("endless_beats", endless(&FromGuest::Beat, b""), LIMIT),
        ("endless_panics", endless(&panic(), b""), LIMIT),
        ("a_result_above_the_limit", hello().says(&[0, 0, 0x20, 0, 5, 1, 0]).hangs(), LIMIT),
        ("an_exit_within_a_length", hello().says(&[9, 0]).exits(0), PROTOCOL),
        ("an_exit_within_a_frame", hello().says(&[9, 0, 0, 0, 1]).exits(0), PROTOCOL),
        ("an_exit_within_a_result", hello().says(&large[..3000]).exits(0), PROTOCOL),
        ("an_exit_with_3_within_a_result", hello().says(&large[..3000]).exits(3), PROTOCOL),
        ("an_exit_without_an_answer", hello().exits(0), PROTOCOL),
        ("an_exit_without_a_word", Script::default().exits(0), PROTOCOL),
        ("an_exit_with_a_value_and_no_error", hello().frame(&value()).exits(0), PROTOCOL),
        ("an_exit_with_3_after_the_result", hello().frame(&result()).exits(3), "failed.exit"),
        ("a_hang_within_a_result", hello().says(&large[..3000]).hangs(), "stopped.wall-time"),
        ("a_hang_after_the_result", hello().frame(&result()).hangs(), "stopped.wall-time"),
        (
            "a_lie_about_memory",
            hello().frame(&FromGuest::OutOfMemory { requested: 1 }).frame(&result()).exits(0),
            "completed",
        ),
        ("a_lie_about_a_panic", hello().frame(&panic()).frame(&result()).exits(0), "completed"),
    ]
}

/// What a guest does with descriptors, its own and others; `file` is one that it may open.
fn descriptors(file: &str) -> Vec<Row> {
    let hello = Script::hello;
    let log = encode_with(&FromGuest::Log { level: Level::Info }, &[b'x'; 1000]).unwrap();
    let item = encode_with(&emit(1), &[7; 1000]).unwrap();
    let answer = encode(&result()).unwrap();
    let bytewise = answer.iter().fold(hello(), |script, byte| script.passes(1, &[*byte]));
    let others = (4..100).fold(hello(), |script, number| script.writes(number, &[0xff; 100]));
    let closed = (0..100).fold(hello(), Script::closes);
    vec![
        ("hoarded_files", hello().hoards(file).frame(&result()).exits(0), "completed"),
        ("hoarded_files_and_endless_items", hello().hoards(file).for_ever(&item), LIMIT),
        ("hoarded_files_and_half_a_frame", hello().hoards(file).says(&[9, 0]).exits(0), PROTOCOL),
        ("hoarded_files_and_a_hang", hello().hoards(file).hangs(), "stopped.wall-time"),
        ("descriptors_beside_endless_words", hello().passes(u32::MAX, &log), LIMIT),
        ("descriptors_beside_noise", hello().passes(9, &[0xff; 5]).hangs(), PROTOCOL),
        ("descriptors_beside_the_result", hello().passes(1, &answer).exits(0), "completed"),
        ("descriptors_beside_two_results", hello().passes(2, &answer).hangs(), PROTOCOL),
        ("descriptors_beside_each_byte", bytewise.exits(0), "completed"),
        ("a_result_on_stdin", hello().writes(0, &answer).exits(0), PROTOCOL),
        ("a_result_on_stdout", hello().writes(1, &answer).exits(0), PROTOCOL),
        ("a_result_on_stderr", hello().writes(2, &answer).exits(0), PROTOCOL),
        ("noise_on_all_that_is_not_its_own", others.frame(&result()).exits(0), "completed"),
        ("a_closed_channel", hello().closes(3).exits(0), PROTOCOL),
        ("a_closed_channel_and_a_hang", hello().closes(3).hangs(), "stopped.wall-time"),
        ("everything_closed", closed.exits(0), PROTOCOL),
    ]
}

fn load_with(wall: Wall, wall_time: Duration, permissions: &Permissions) -> Loaded {
    let path = match wall {
        Wall::Native => guests::native("speaks_raw"),
        Wall::Wasm => guests::wasm("speaks_raw"),
    };
    let ample = Duration::from_secs(100);
    let limits = Limits {
        wall: wall_time,
        cpu: ample,
        result: ByteSize::bytes(RESULT),
        ..Limits::default()
    };
    let program = Program::file(path).within(wall).limits(limits).permissions(permissions.clone());
    Runtime::new().unwrap().load(program).unwrap()
}

pub(super) fn load(wall: Wall, wall_time: Duration) -> Loaded {
    load_with(wall, wall_time, &Permissions::default())
}

fn wrong(rows: Vec<Row>) -> Vec<String> {
    wrong_of(rows, |_| Permissions::default())
}

/// All whose ending is another one than it should be, or that have made the host grow.
fn wrong_of(rows: Vec<Row>, permissions: impl Fn(Wall) -> Permissions) -> Vec<String> {
    let mut wrong = Vec::new();
    for wall in WALLS {
        // A guest that hangs is ended by its time, and no other: it is far more than any other needs.
        let [patient, quick] = [Duration::from_secs(100), Duration::from_millis(300)]
            .map(|time| load_with(wall, time, &permissions(wall)));
        let mut run = |growth: &mut Growth, (name, script, label): &Row| {
            let guest = if *label == "stopped.wall-time" { &quick } else { &patient };
            let task = Task::invoke_with("f", Payload::raw(script.0.clone()));
            let report = growth.of(name, guest, &task);
            if report.verdict.label().as_str() != *label {
                wrong.push(format!("{wall:?} {name}: {:?}", report.verdict));
            }
            // What counts is what a guest gave that came to a good end.
            if report.value::<Vec<u8>>().is_ok() != (*label == "completed") {
                wrong.push(format!("{wall:?} {name}: its result counts"));
            }
        };
        // What a host makes once, it keeps; by the second time everything is there.
        let mut first = Growth::begin();
        rows.iter().for_each(|row| run(&mut first, row));
        let mut second = Growth::begin();
        rows.iter().for_each(|row| run(&mut second, row));
        wrong.extend(second.end().into_iter().map(|what| format!("{wall:?} {what}")));
    }
    wrong
}

#[test]
fn bytes_that_are_no_frames_end_a_guest() {
    assert_eq!(wrong(broken_frames()), Vec::<String>::new());
}

#[test]
fn frames_out_of_turn_end_a_guest() {
    assert_eq!(wrong(out_of_turn()), Vec::<String>::new());
}

#[test]
fn calls_of_the_host_are_no_way_out() {
    assert_eq!(wrong(host_calls()), Vec::<String>::new());
}

#[test]
fn values_that_are_placed_wrongly_end_a_guest() {
    assert_eq!(wrong(placed_values()), Vec::<String>::new());
}

/// Where a process shares memory with us: what is too much for its limit, and a size that it would like to change.
#[test]
fn shared_memory_stays_as_large_as_it_was_made() {
    let permissions = Permissions { profile: Profile::Process, ..Permissions::default() };
    let limits = Limits { result: ByteSize::bytes(RESULT), ..Limits::default() };
    let program = Program::file(guests::native("speaks_raw")).limits(limits);
    let guest = Runtime::new().unwrap().load(program.permissions(permissions)).unwrap();
    let placed = |length| FromGuest::Placed { at: 0, length };
    for (length, label) in
        [(RESULT, "completed"), (RESULT + 100_000, LIMIT), (RESULT * 2, PROTOCOL)]
    {
        for resized in [false, true] {
            let script = Script::hello();
            let script = if resized { script.resizes(0).resizes(RESULT * 4) } else { script };
            let script = script.frame(&placed(length)).frame(&result()).exits(0);
            let report = guest.run(&Task::invoke_with("f", Payload::raw(script.0)));
            assert_eq!(report.verdict.label().as_str(), label, "{:?}", report.verdict);
            let result = report.output.result.as_ref().map_or(0, |it| it.bytes().len());
            assert_eq!(result as u64, if label == "completed" { length } else { 0 });
        }
    }
}

#[test]
fn floods_end_at_their_limit_and_lies_change_nothing() {
    assert_eq!(wrong(floods_and_ends()), Vec::<String>::new());
}

/// A process may say something with descriptors beside it where its profile has sockets.
#[test]
fn descriptors_of_a_guest_are_no_concern_of_its_host() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "text").unwrap();
    let file = folder.path().join("file");
    let permissions = |wall| {
        let profile = match wall {
            Wall::Native => Profile::Process,
            Wall::Wasm => Profile::default(),
        };
        let mut permissions = Permissions { profile, ..Permissions::default() };
        permissions.grant_dir(folder.path(), folder.path(), Access::ReadOnly);
        permissions
    };
    assert_eq!(wrong_of(descriptors(file.to_str().unwrap()), permissions), Vec::<String>::new());
}

#[test]
fn there_are_many_misbehaviours_and_no_two_of_one_name() {
    let rows = [broken_frames(), out_of_turn(), host_calls(), placed_values(), floods_and_ends()];
    let rows: Vec<Row> = rows.into_iter().flatten().chain(descriptors("file")).collect();
    let names: std::collections::BTreeSet<_> = rows.iter().map(|row| row.0).collect();
    assert!(names.len() == rows.len() && rows.len() >= 40, "{}", rows.len());
}
