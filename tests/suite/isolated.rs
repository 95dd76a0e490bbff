//! Functions of this very program behind a wall, called from the usual test harness; a program with a `main` of its
//! own is `isolated_host`.

use std::fmt;
use std::process::Command;

use sandtrap::{CallError, Crash, CrashCause, Failure, Report, Signal, Verdict, isolated};
use serde::{Deserialize, Serialize};

sandtrap::init_tests!();

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Division {
    dividend: i64,
    divisor: i64,
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can't be divided by {}", self.dividend, self.divisor)
    }
}

impl std::error::Error for Division {}

#[isolated(wall = "100s")]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[isolated(wall = "100s", start = "fork")]
fn add_in_a_fork(a: i64, b: i64) -> i64 {
    a + b
}

#[isolated(wall = "100s")]
fn nothing() {}

#[isolated(wall = "100s", require_guard = "rlimits, session", optional_guard = "landlock")]
fn guarded() {}

#[isolated(wall = "100s", net = "host", require_guard = "network-namespace")]
fn wants_what_was_given_up() {}

#[isolated(wall = "100s")]
fn pid() -> u32 {
    std::process::id()
}

/// What is borrowed is lent again on the other side; a pattern is taken apart there.
#[isolated(wall = "100s")]
fn joined(words: &[String], by: &str, (first, last): (char, char), times: &Option<u8>) -> String {
    format!("{first}{}{last}{times:?}", words.join(by))
}

#[isolated(wall = "100s")]
fn divide(what: Division) -> Result<i64, Division> {
    what.dividend.checked_div(what.divisor).ok_or(what)
}

#[isolated(wall = "100s")]
fn parse(text: &str) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    #[derive(Debug)]
    struct NoNumber(std::num::ParseIntError);
    impl fmt::Display for NoNumber {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("that is no number")
        }
    }
    impl std::error::Error for NoNumber {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    text.parse().map_err(|error| NoNumber(error).into())
}

#[isolated(wall = "100s", stderr = "null")]
fn panics(text: String) {
    panic!("{text}");
}

#[isolated(wall = "100s", stderr = "null")]
fn panics_with_a_number() {
    std::panic::panic_any(7_u8);
}

/// A value, and an error, that can't be written.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is nothing for others"))
    }
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the words of the error")
    }
}

impl std::error::Error for Unwritable {}

#[isolated(wall = "100s")]
fn takes_what_cannot_be_written(_: Unwritable) {}

#[isolated(wall = "100s")]
fn fails_with_what_cannot_be_written() -> Result<(), Unwritable> {
    Err(Unwritable)
}

#[isolated(wall = "100s")]
fn exits(code: i32) {
    std::process::exit(code);
}

#[isolated(wall = "100s")]
fn raises(signal: i32) {
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    nix::sys::signal::raise(signal).unwrap();
}

#[isolated(wall = "100s", memory = "256MiB")]
fn allocates(bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; bytes]).len()
}

#[isolated(wall = "1s", cpu = "90s")]
fn spins() {
    loop {
        std::hint::spin_loop();
    }
}

#[isolated(wall = "100s")]
fn factorial(n: u64) -> u64 {
    if n == 0 { 1 } else { n * factorial(n - 1) }
}

#[isolated(wall = "100s")]
fn calls_another() -> String {
    nothing().unwrap_err().to_string()
}

#[isolated(wall = "100s", stdout = "capture", stderr = "capture")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is heard by its test")]
fn says(text: &str) {
    print!("{text}");
    eprint!("{text}");
}

#[isolated(wall = "100s", env = "SANDTRAP_TEST=1", dir = "/usr/share:ro")]
fn sees() -> (Vec<String>, bool, bool) {
    let names = std::env::vars().map(|(name, _)| name).collect();
    let is_there = |path| std::fs::metadata(path).is_ok();
    (names, is_there("/usr/share"), is_there(env!("CARGO_MANIFEST_DIR")))
}

fn report_of<T: fmt::Debug>(result: Result<T, CallError>) -> Report {
    match result {
        Err(CallError::Ended(report)) => *report,
        other => panic!("{other:?}"),
    }
}

fn label_of<T: fmt::Debug>(result: Result<T, CallError>) -> &'static str {
    report_of(result).verdict.label().as_str()
}

#[test]
fn b1_b2_b20_a_call_runs_in_another_process_and_gives_the_value() {
    assert_eq!(add(2, 40).unwrap(), 42);
    nothing().unwrap();
    assert_ne!(pid().unwrap(), std::process::id());
    let words = ["a".to_owned(), "b".to_owned()];
    assert_eq!(joined(&words, ", ", ('<', '>'), &Some(7)).unwrap(), "<a, b>Some(7)");
}

#[test]
fn a_function_is_not_called_without_a_guard_that_it_requires_by_name() {
    guarded().unwrap();
    let report = report_of(wants_what_was_given_up());
    assert_eq!(report.verdict.label().as_str(), "unstarted.guard");
    assert!(report.verdict.to_string().contains("network-namespace"), "{}", report.verdict);
}

#[test]
fn b5_an_error_comes_through_with_its_causes_and_its_type() {
    assert_eq!(divide(Division { dividend: 84, divisor: 2 }).unwrap(), 42);
    let zero = Division { dividend: 1, divisor: 0 };
    let error = divide(zero.clone()).unwrap_err();
    assert_eq!(error.error_as::<Division>(), Some(zero));
    assert!(error.to_string().contains("1 can't be divided by 0"), "{error}");
    let report = report_of(parse("x"));
    let Verdict::Failed(Failure::Error { message, chain }) = &report.verdict else { panic!() };
    assert_eq!((&**message, &*chain[0]), ("that is no number", "invalid digit found in string"));
    // As any other error, it goes up with a question mark.
    fn caller() -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(parse("42")?)
    }
    assert_eq!(caller().unwrap(), 42);
}

#[test]
fn a_panic_comes_through_with_its_place() {
    let report = report_of(panics("boom".to_owned()));
    let Verdict::Failed(Failure::Panic { message, place }) = &report.verdict else {
        panic!("{:?}", report.verdict)
    };
    assert!(message == "boom" && place.as_ref().unwrap().contains("isolated.rs:"), "{place:?}");
}

#[test]
fn i24_a_panic_with_any_payload_is_a_panic() {
    let report = report_of(panics_with_a_number());
    assert!(matches!(report.verdict, Verdict::Failed(Failure::Panic { .. })), "{report:?}");
}

#[test]
fn b21_an_argument_that_cannot_be_written_fails_before_anything_starts() {
    let error = takes_what_cannot_be_written(Unwritable).unwrap_err();
    assert!(matches!(error, CallError::Value(_)) && error.report().is_none(), "{error:?}");
    let words = error.to_string();
    assert!(
        words.contains("takes_what_cannot_be_written`") && words.contains("Unwritable"),
        "{words}"
    );
}

#[test]
fn i23_an_error_that_cannot_be_written_comes_as_its_words() {
    let error = fails_with_what_cannot_be_written().unwrap_err();
    assert!(error.to_string().contains("the words of the error"), "{error}");
    assert!(error.error_as::<Division>().is_none(), "nor is it taken for another one");
}

#[test]
fn b3_b4_b12_i12_a_crash_an_exit_and_a_limit_have_their_verdicts() {
    let report = report_of(raises(nix::libc::SIGKILL));
    let Verdict::Crashed(Crash { cause: CrashCause::Killed { signal, .. }, .. }) = report.verdict
    else {
        panic!("{:?}", report.verdict)
    };
    assert_eq!(signal, Signal::Kill);
    assert_eq!(label_of(raises(nix::libc::SIGABRT)), "crashed.abort");
    let report = report_of(exits(137));
    assert_eq!(report.verdict, Verdict::Failed(Failure::Exit { code: 137 }));
    assert_eq!(label_of(exits(0)), "crashed.protocol", "it has given no result");
    assert_eq!(allocates(1 << 20).unwrap(), 1 << 20);
    assert_eq!(label_of(allocates(1 << 30)), "crashed.out-of-memory");
    assert_eq!(label_of(spins()), "stopped.wall-time");
}

#[test]
fn a_function_that_calls_itself_needs_no_further_process() {
    assert_eq!(factorial(10).unwrap(), 3_628_800);
}

#[test]
fn i22_an_isolated_function_within_another_is_refused_by_name() {
    let refusal = calls_another().unwrap();
    let names = refusal.contains("isolated::nothing` is isolated, and so is");
    assert!(names && refusal.contains("into a plain function"), "{refusal}");
}

#[test]
fn two_functions_of_one_name_are_never_taken_for_each_other() {
    fn first() -> Result<u8, CallError> {
        #[isolated]
        fn same() -> u8 {
            1
        }
        same()
    }
    fn second() -> Result<u8, CallError> {
        #[isolated]
        fn same() -> u8 {
            2
        }
        same()
    }
    for report in [report_of(first()), report_of(second())] {
        assert_eq!(report.verdict.label().as_str(), "unstarted.rejected");
        let words = report.verdict.to_string();
        assert!(words.contains("isolated::same`, at") && words.contains(" and at "), "{words}");
    }
}

#[test]
fn what_a_function_prints_is_its_own_and_none_of_the_harness() {
    let report = says::report("some words").unwrap();
    assert!(report.verdict.is_completed(), "{:?}", report.verdict);
    assert_eq!(report.output.stdout_text(), "some words");
    assert_eq!(report.output.stderr_text(), "some words");
}

#[test]
fn a_function_sees_what_was_granted_and_nothing_else() {
    let (names, granted, ours) = sees().unwrap();
    assert_eq!(names, ["SANDTRAP_TEST", "SANDTRAP_ISOLATED"]);
    assert_eq!((granted, ours), (true, false));
}

#[test]
fn i1_an_async_program_awaits_it_in_any_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        // On one thread, so neither could begin after the other had ended.
        let (one, two) = (add::call_async(1, 2), add::call_async(3, 4));
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (3, 7));
        // A plain call blocks, and disturbs nobody's runtime.
        assert_eq!(add(5, 6).unwrap(), 11);
        assert_eq!(label_of(spins::call_async().await), "stopped.wall-time");
        drop(spins::call_async());
    });
}

#[test]
fn a_function_is_a_program_like_any_other() {
    let pool = add::loaded().unwrap().pool(sandtrap::PoolSettings::default());
    let ticket = pool.submit(sandtrap::Order::new(add::task(20, 22).unwrap())).unwrap();
    assert_eq!(ticket.wait().value::<i64>().unwrap(), 42);
}

fn host(what: &str) -> String {
    let ended = Command::new(env!("CARGO_BIN_EXE_isolated_host")).arg(what).output().unwrap();
    let (out, err) = (ended.stdout, ended.stderr);
    String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err)
}

#[test]
fn b13_i6_a_program_with_a_main_needs_one_line_in_it() {
    assert_eq!(host("init"), "printed by the function\n42\n");
    let refused = host("no-init");
    assert!(refused.contains("call `sandtrap::init()` first in its `main`"), "{refused}");
}

#[test]
fn b7_a_function_can_be_called_in_forks_of_its_program_that_have_come_as_far_as_init() {
    assert_eq!(host("forks"), "true\nfalse\n");
    assert_eq!(add_in_a_fork(40, 2).unwrap(), 42, "a harness has nothing that could be warm");
}

#[test]
fn b19_the_library_prints_nothing_and_the_report_has_it_all() {
    assert_eq!(host("silent"), "failed.panic\n");
}

#[test]
fn a_variable_that_was_set_by_hand_makes_nobody_a_function() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isolated_host"));
    let ended = command.arg("init").env("SANDTRAP_ISOLATED", "0.1.0").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "printed by the function\n42\n");
}

/// As plain `cargo test` runs them: all in one process, each on a thread of its own.
#[test]
fn a_harness_with_many_threads_in_one_process_serves_them_all() {
    let me = std::env::current_exe().unwrap();
    let tests = ["b1_b2_b20_", "b5_", "i24_", "b21_", "i22_"].map(|row| format!("isolated::{row}"));
    let ran = Command::new(me).args(&tests).arg("--test-threads=5").output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && told.contains("5 passed; 0 failed"), "{told}");
}
