//! Calls of the host with what no honest program would pass: wild pointers, absurd counts, frames that lie.

use sandtrap::Label;
use sandtrap_protocol::{ErrorReport, FromGuest, VERSION, encode};

use super::{OUTPUT, PAGES, Row, text};

/// The types of what is called here.
const TYPES: [(&str, &str); 33] = [
    ("args_get", "(param i32 i32) (result i32)"),
    ("args_sizes_get", "(param i32 i32) (result i32)"),
    ("environ_get", "(param i32 i32) (result i32)"),
    ("environ_sizes_get", "(param i32 i32) (result i32)"),
    ("clock_res_get", "(param i32 i32) (result i32)"),
    ("clock_time_get", "(param i32 i64 i32) (result i32)"),
    ("fd_advise", "(param i32 i64 i64 i32) (result i32)"),
    ("fd_allocate", "(param i32 i64 i64) (result i32)"),
    ("fd_close", "(param i32) (result i32)"),
    ("fd_datasync", "(param i32) (result i32)"),
    ("fd_fdstat_get", "(param i32 i32) (result i32)"),
    ("fd_fdstat_set_flags", "(param i32 i32) (result i32)"),
    ("fd_filestat_get", "(param i32 i32) (result i32)"),
    ("fd_filestat_set_size", "(param i32 i64) (result i32)"),
    ("fd_pread", "(param i32 i32 i32 i64 i32) (result i32)"),
    ("fd_prestat_dir_name", "(param i32 i32 i32) (result i32)"),
    ("fd_prestat_get", "(param i32 i32) (result i32)"),
    ("fd_pwrite", "(param i32 i32 i32 i64 i32) (result i32)"),
    ("fd_read", "(param i32 i32 i32 i32) (result i32)"),
    ("fd_readdir", "(param i32 i32 i32 i64 i32) (result i32)"),
    ("fd_renumber", "(param i32 i32) (result i32)"),
    ("fd_seek", "(param i32 i64 i32 i32) (result i32)"),
    ("fd_write", "(param i32 i32 i32 i32) (result i32)"),
    ("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
    ("path_rename", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
    ("path_symlink", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
    ("proc_exit", "(param i32)"),
    ("proc_raise", "(param i32) (result i32)"),
    ("random_get", "(param i32 i32) (result i32)"),
    ("sched_yield", "(result i32)"),
    ("sock_accept", "(param i32 i32 i32) (result i32)"),
    ("sock_shutdown", "(param i32 i32) (result i32)"),
];

/// A command that calls these functions of WASI, with this memory before it.
fn command(name: &'static str, label: Label, memory: &str, body: &str) -> Row {
    let imports: String = TYPES
        .iter()
        .filter(|(function, _)| body.contains(&format!("${function} ")))
        .map(|(function, ty)| {
            format!("(import \"wasi_snapshot_preview1\" \"{function}\" (func ${function} {ty}))\n")
        })
        .collect();
    text(name, label, format!("{imports} {memory} (func (export \"_start\") {body})"))
}

const ONE_PAGE: &str = "(memory (export \"memory\") 1)";

/// One call, whose answer does not matter.
fn calls(name: &'static str, label: Label, call: &str) -> Row {
    command(name, label, ONE_PAGE, &format!("(drop (call {}))", numbers(call)))
}

/// The same, for ever.
fn repeats(name: &'static str, label: Label, memory: &str, call: &str) -> Row {
    command(name, label, memory, &format!("(loop (drop (call {})) (br 0))", numbers(call)))
}

/// `$fd_write 1 0 2 9` as it is written in full. A number with an `L` has 64 bits.
fn numbers(call: &str) -> String {
    let words = call.split_whitespace().map(|word| match word.strip_suffix('L') {
        Some(long) => format!("(i64.const {long})"),
        None if word.starts_with('$') => format!("{word} "),
        None => format!("(i32.const {word})"),
    });
    words.collect()
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = wild_pointers();
    rows.extend(wild_descriptors());
    rows.extend(absurd_counts());
    rows.extend(without_end());
    rows.extend(exits());
    rows.extend(without_memory());
    rows
}

fn wild_pointers() -> Vec<Row> {
    use Label::CrashedMemoryFault;
    [
        ("writes_from_a_list_beyond_the_end", "$fd_write 1 65535 1 0"),
        ("writes_from_a_list_at_the_far_end", "$fd_write 1 -8 1 0"),
        ("writes_a_count_to_nowhere", "$fd_write 1 0 0 -4"),
        ("reads_to_a_list_at_the_far_end", "$fd_read 0 -16 2 0"),
        ("takes_arguments_to_the_far_end", "$args_get -4 -4"),
        ("takes_sizes_of_arguments_to_nowhere", "$args_sizes_get 65536 65540"),
        ("takes_variables_sizes_to_nowhere", "$environ_sizes_get -1 -1"),
        ("takes_the_time_to_nowhere", "$clock_time_get 0 0L 65530"),
        ("takes_the_resolution_to_nowhere", "$clock_res_get 0 -8"),
        ("takes_four_gib_of_randomness", "$random_get 0 -1"),
        ("takes_randomness_across_the_end", "$random_get 65535 2"),
        ("waits_for_what_is_nowhere", "$poll_oneoff -48 0 1 0"),
        ("is_told_of_a_descriptor_nowhere", "$fd_fdstat_get 1 65530"),
        ("is_told_of_a_file_nowhere", "$fd_filestat_get 1 -64"),
    ]
    .into_iter()
    .map(|(name, call)| calls(name, CrashedMemoryFault, call))
    .chain([
        command(
            "writes_four_gib_at_once",
            CrashedMemoryFault,
            "(memory (export \"memory\") 1) (data (i32.const 0) \"\\00\\00\\00\\00\\ff\\ff\\ff\\ff\")",
            "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))",
        ),
        command(
            "writes_from_the_far_end",
            CrashedMemoryFault,
            "(memory (export \"memory\") 1) (data (i32.const 0) \"\\f0\\ff\\ff\\ff\\20\\00\\00\\00\")",
            "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))",
        ),
    ])
    .collect()
}

fn wild_descriptors() -> Vec<Row> {
    [
        ("writes_to_descriptor_2_billion", "$fd_write 2147483647 0 0 0"),
        ("writes_to_descriptor_minus_one", "$fd_write -1 0 0 0"),
        ("writes_to_its_stdin", "$fd_write 0 0 0 0"),
        ("reads_from_its_stdout", "$fd_read 1 0 0 0"),
        ("closes_minus_one", "$fd_close -1"),
        ("renumbers_to_4_billion", "$fd_renumber 1 -1"),
        ("seeks_a_stream", "$fd_seek 1 -9223372036854775808L 0 0"),
        ("allocates_in_a_stream", "$fd_allocate 1 0L 9223372036854775807L"),
        ("resizes_a_stream", "$fd_filestat_set_size 1 9223372036854775807L"),
        ("advises_a_stream", "$fd_advise 1 0L -1L 3"),
        ("lists_a_stream", "$fd_readdir 1 0 64 0L 128"),
        ("writes_at_a_place_of_a_stream", "$fd_pwrite 1 0 0 -1L 0"),
        ("asks_for_directories", "$fd_prestat_get 3 0"),
        ("opens_without_a_directory", "$path_open 3 1 0 1 0 2L 2L 0 64"),
        ("renames_without_a_directory", "$path_rename 3 0 1 4 0 1"),
        ("links_without_a_directory", "$path_symlink 0 1 3 0 1"),
        ("accepts_without_a_socket", "$sock_accept 0 0 0"),
        ("shuts_down_without_a_socket", "$sock_shutdown 1 3"),
    ]
    .into_iter()
    .map(|(name, call)| calls(name, Label::Completed, call))
    .collect()
}

fn absurd_counts() -> Vec<Row> {
    use Label::{Completed, StoppedOutput};
    let whole = PAGES * 65_536;
    vec![
        calls("waits_for_a_million_things", Completed, "$poll_oneoff 0 0 1000000 0"),
        calls("waits_for_4_billion_things", Completed, "$poll_oneoff 0 0 -1 0"),
        calls("waits_for_nothing", Completed, "$poll_oneoff 0 0 0 0"),
        // More than one call may handle at all: the guest is told so.
        calls("writes_4_billion_pieces", Completed, "$fd_write 1 0 -1 0"),
        calls("writes_pieces_around_4_gib", Completed, "$fd_write 1 64 536870912 0"),
        command(
            "writes_overlapping_pieces",
            Completed,
            "(memory (export \"memory\") 1) (data (i32.const 0) \
             \"\\00\\00\\00\\00\\08\\00\\00\\00\\04\\00\\00\\00\\08\\00\\00\\00\")",
            "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0)))",
        ),
        command(
            "writes_all_its_memory",
            StoppedOutput,
            &format!("(memory (export \"memory\") {PAGES})"),
            &format!(
                "(i32.store (i32.const 4) (i32.const {whole})) \
                 (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))"
            ),
        ),
        command(
            "writes_all_its_memory_in_a_thousand_pieces",
            StoppedOutput,
            &format!("(memory (export \"memory\") {PAGES})"),
            &format!(
                "(local $i i32) (loop (i32.store offset=4 (local.get $i) (i32.const {whole})) \
                 (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 8000)))) \
                 (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1000) (i32.const 9000)))"
            ),
        ),
        calls("draws_a_page_of_randomness", Completed, "$random_get 0 65536"),
    ]
}

fn without_end() -> Vec<Row> {
    use Label::{StoppedOutput, StoppedWallTime};
    let large = format!("(memory (export \"memory\") {PAGES})");
    vec![
        repeats("yields_for_ever", StoppedWallTime, ONE_PAGE, "$sched_yield").hangs(),
        repeats("asks_the_time_for_ever", StoppedWallTime, ONE_PAGE, "$clock_time_get 0 0L 0").hangs(),
        repeats("writes_nothing_for_ever", StoppedWallTime, ONE_PAGE, "$fd_write 1 0 0 0").hangs(),
        repeats("writes_empty_pieces_for_ever", StoppedWallTime, ONE_PAGE, "$fd_write 1 64 8000 0")
            .hangs(),
        repeats("draws_randomness_for_ever", StoppedWallTime, &large, "$random_get 0 1048576").hangs(),
        repeats("walks_descriptors_for_ever", StoppedWallTime, ONE_PAGE, "$fd_prestat_get 3 0").hangs(),
        repeats("reads_zeros_for_ever", StoppedWallTime, READ_4_KIB, "$fd_read 0 0 1 32")
            .reading("/dev/zero")
            .hangs(),
        repeats("writes_a_byte_for_ever", StoppedOutput, WRITE_1, "$fd_write 1 0 1 32"),
        command(
            "sleeps_for_584_years",
            StoppedWallTime,
            // One subscription: the clock that only goes forward, and the longest time there is.
            "(memory (export \"memory\") 1) \
             (data (i32.const 16) \"\\01\\00\\00\\00\\00\\00\\00\\00\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\7f\")",
            "(drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))",
        )
        .hangs(),
    ]
}

const READ_4_KIB: &str = "(memory (export \"memory\") 1) \
                          (data (i32.const 0) \"\\00\\10\\00\\00\\00\\10\\00\\00\")";

const WRITE_1: &str = "(memory (export \"memory\") 1) \
                       (data (i32.const 0) \"\\00\\01\\00\\00\\01\\00\\00\\00\")";

fn exits() -> Vec<Row> {
    use Label::{Completed, CrashedUnknown, FailedExit};
    let exit = |name, code: i32| {
        let body = format!("(call $proc_exit (i32.const {code}))");
        command(name, FailedExit, ONE_PAGE, &body).exits(code)
    };
    vec![
        exit("exits_with_minus_one", -1),
        exit("exits_with_256", 256),
        exit("exits_with_the_least_code", i32::MIN),
        exit("exits_with_the_largest_code", i32::MAX),
        calls("raises_a_signal", Completed, "$proc_raise 9"),
        // Flags that mean nothing are nothing that a wall could name.
        calls(
            "opens_with_rights_that_are_none",
            CrashedUnknown,
            "$path_open 3 1 0 1 0 -1L -1L 0 64",
        ),
    ]
}

/// WASI finds a guest's memory by its name.
fn without_memory() -> Vec<Row> {
    use Label::CrashedUnknown;
    let call = "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))";
    let other = "(drop (call $random_get (i32.const 0) (i32.const 8)))";
    vec![
        command("writes_without_a_memory", CrashedUnknown, "", call),
        command("writes_from_a_memory_of_its_own", CrashedUnknown, "(memory 1)", call),
        command("draws_without_a_memory", CrashedUnknown, "", other),
        command("calls_a_function_its_memory", CrashedUnknown, "(func (export \"memory\"))", call),
    ]
}

/// The channel, by guests that know no rules.
pub(super) fn channel_rows() -> Vec<Row> {
    use Label::{
        CrashedMemoryFault, CrashedProtocol, CrashedUnknown, StoppedResult, StoppedWallTime,
    };
    let hello = || encode(&FromGuest::Hello { version: VERSION }).expect("it is short");
    let error = || {
        let report = ErrorReport { message: "no".into(), chain: vec![] };
        encode(&FromGuest::Error(report)).expect("it is short")
    };
    vec![
        sends("sends_from_nowhere", CrashedMemoryFault, &[], "-16", "32"),
        sends("sends_across_the_end", CrashedMemoryFault, &[], "65535", "2"),
        sends("sends_4_gib", CrashedProtocol, &[], "0", "-1"),
        sends("sends_a_length_that_lies", CrashedProtocol, &[0xff; 4], "0", "4"),
        sends("sends_an_empty_frame", CrashedProtocol, &[0; 4], "0", "4"),
        sends("sends_half_a_frame", CrashedProtocol, &hello(), "0", "5"),
        sends("sends_before_its_greeting", CrashedProtocol, &error(), "0", &size(&error())),
        sends(
            "greets_twice",
            CrashedProtocol,
            &[hello(), hello()].concat(),
            "0",
            &size(&[hello(), hello()].concat()),
        ),
        sends(
            "has_two_results",
            CrashedProtocol,
            &[hello(), error(), error()].concat(),
            "0",
            &size(&[hello(), error(), error()].concat()),
        ),
        text(
            "sends_without_a_memory",
            CrashedUnknown,
            format!("{SEND} (func (export \"_start\") (call $send (i32.const 0) (i32.const 1)))"),
        ),
        text(
            "sends_nothing_for_ever",
            StoppedWallTime,
            format!(
                "{SEND} {ONE_PAGE} (func (export \"_start\") \
                 (loop (call $send (i32.const 0) (i32.const 0)) (br 0)))"
            ),
        )
        .hangs(),
        text(
            "sends_panics_for_ever",
            StoppedResult,
            format!(
                "{SEND} (memory (export \"memory\") 1) (data (i32.const 0) \"{0}\") \
                 (data (i32.const 100) \"{1}\") (func (export \"_start\") \
                 (call $send (i32.const 0) (i32.const {2})) \
                 (loop (call $send (i32.const 100) (i32.const {3})) (br 0)))",
                escaped(&hello()),
                escaped(&panic()),
                hello().len(),
                panic().len(),
            ),
        )
        .with(|limits| limits.result = OUTPUT),
    ]
}

const SEND: &str = "(import \"sandtrap\" \"send\" (func $send (param i32 i32)))";

fn panic() -> Vec<u8> {
    encode(&FromGuest::OutOfMemory { requested: u64::MAX }).expect("it is short")
}

fn size(bytes: &[u8]) -> String {
    bytes.len().to_string()
}

/// Sends `length` bytes from `at`, with `content` at the beginning of the memory.
fn sends(name: &'static str, label: Label, content: &[u8], at: &str, length: &str) -> Row {
    let content = escaped(content);
    text(
        name,
        label,
        format!(
            "{SEND} {ONE_PAGE} (data (i32.const 0) \"{content}\") (func (export \"_start\") \
             (call $send (i32.const {at}) (i32.const {length})))"
        ),
    )
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
