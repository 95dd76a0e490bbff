//! WASI as guests find it: the same on every thread, whatever stands around the call.

use super::*;
use crate::evidence::{StopReason, TrapCause};
use crate::task::Stdin;

/// Uses everything of WASI that could wait or block: sleeps, waits for its input, reads it, and the rest.
/// Exits with 0, or with the number of what failed.
fn uses_everything() -> String {
    wasi(
        r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_res_get" (func $res (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (func $want (param $is i32) (param $wanted i32) (param $number i32)
          (if (i32.ne (local.get $is) (local.get $wanted))
            (then (call $proc_exit (local.get $number)))))
        (func (export "_start")
          (call $want (call $random (i32.const 1024) (i32.const 1000)) (i32.const 0) (i32.const 1))
          (call $want (call $time (i32.const 0) (i64.const 1) (i32.const 64)) (i32.const 0) (i32.const 2))
          (call $want (call $time (i32.const 1) (i64.const 1) (i32.const 72)) (i32.const 0) (i32.const 3))
          (call $want (call $res (i32.const 1) (i32.const 80)) (i32.const 0) (i32.const 4))
          (call $want (call $sizes (i32.const 64) (i32.const 68)) (i32.const 0) (i32.const 5))
          (call $want (i32.load (i32.const 64)) (i32.const 3) (i32.const 6))
          (call $want (call $args (i32.const 2048) (i32.const 3072)) (i32.const 0) (i32.const 7))
          (call $want (call $stat (i32.const 0) (i32.const 64)) (i32.const 0) (i32.const 8))
          (call $want (call $seek (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 64)) (i32.const 70) (i32.const 9))
          (call $want (call $yield) (i32.const 0) (i32.const 10))
          ;; Sleeps for a millisecond.
          (i64.store (i32.const 4096) (i64.const 41)) (i32.store8 (i32.const 4104) (i32.const 0))
          (i32.store (i32.const 4112) (i32.const 1)) (i64.store (i32.const 4120) (i64.const 1000000))
          (call $want (call $poll (i32.const 4096) (i32.const 5120) (i32.const 1) (i32.const 64)) (i32.const 0) (i32.const 11))
          (call $want (i32.load (i32.const 64)) (i32.const 1) (i32.const 12))
          (call $want (i32.load (i32.const 5120)) (i32.const 41) (i32.const 13))
          ;; Waits for its input, and an hour at most.
          (i64.store (i32.const 4120) (i64.const 3600000000000))
          (i64.store (i32.const 4144) (i64.const 42)) (i32.store8 (i32.const 4152) (i32.const 1))
          (i32.store (i32.const 4160) (i32.const 0))
          (call $want (call $poll (i32.const 4096) (i32.const 5120) (i32.const 2) (i32.const 64)) (i32.const 0) (i32.const 14))
          (call $want (i32.load (i32.const 64)) (i32.const 1) (i32.const 15))
          (call $want (i32.load (i32.const 5120)) (i32.const 42) (i32.const 16))
          ;; Reads it, and writes what it read.
          (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
          (call $want (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)) (i32.const 0) (i32.const 17))
          (i32.store (i32.const 4) (i32.load (i32.const 64)))
          (call $want (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)) (i32.const 0) (i32.const 18))
          (call $want (call $close (i32.const 0)) (i32.const 0) (i32.const 19))
          (call $want (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)) (i32.const 8) (i32.const 20)))"#,
    )
}

#[track_caller]
fn assert_all_works(stdin: &Stdin) {
    let task = Task::command(["one", "two"]).stdin(stdin.clone());
    let evidence = run_task(&program(&uses_everything()), &task);
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert_eq!(evidence.output.stdout_text(), "hello");
}

#[test]
fn no_call_needs_a_runtime_or_is_in_the_way_of_one() {
    let stdin = Stdin::Bytes(Arc::from(*b"hello"));
    assert_all_works(&stdin);
    // Neither has timers: whoever used them would panic.
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    single.block_on(async { assert_all_works(&stdin) });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    many.block_on(async { assert_all_works(&stdin) });
    let on_a_worker = stdin.clone();
    many.block_on(many.spawn(async move { assert_all_works(&on_a_worker) })).unwrap();
}

/// Opens `file` in the directory it was granted, reads it, and writes what it read; lists the directory, too.
fn uses_files() -> String {
    wasi(
        r#"(import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "file")
        (func (export "_start") (local $fd i32)
          (if (call $stat (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 4) (i32.const 512)) (then (call $proc_exit (i32.const 1))))
          (if (call $open (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32))
            (then (call $proc_exit (i32.const 2))))
          (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
          (if (call $fd_read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 64)) (then (call $proc_exit (i32.const 3))))
          (i32.store (i32.const 4) (i32.load (i32.const 64)))
          (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)) (then (call $proc_exit (i32.const 4))))
          (if (call $list (i32.const 3) (i32.const 2048) (i32.const 1024) (i64.const 0) (i32.const 64)) (then (call $proc_exit (i32.const 5))))
          ;; Itself, the one above, and the file, each with 24 bytes in front of the name.
          (if (i32.ne (i32.load (i32.const 64)) (i32.const 79)) (then (call $proc_exit (i32.const 6)))))"#,
    )
}

#[test]
fn files_are_read_on_a_thread_inside_a_runtime_too() {
    let folder = std::env::temp_dir().join(format!("sandtrap-wasi-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), "hello").unwrap();
    let mut permissions = crate::permissions::Permissions::default();
    permissions.grant_dir(&folder, "/data", crate::permissions::Access::ReadOnly);
    let program = program(&uses_files()).permissions(permissions);
    let assert_read = || {
        let evidence = run_task(&program, &command());
        assert_eq!(evidence.ending, Ending::Exited(0));
        assert_eq!(evidence.output.stdout_text(), "hello");
    };
    assert_read();
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    single.block_on(async { assert_read() });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    many.block_on(async { assert_read() });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_directory_to_look_at_refuses_every_call_that_writes_however_it_is_put() {
    let folder = std::env::temp_dir().join(format!("sandtrap-look-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file"), "hello").unwrap();
    let before = std::fs::metadata(folder.join("file")).unwrap().modified().unwrap();
    let mut permissions = crate::permissions::Permissions::default();
    permissions.grant_dir(&folder, "/data", crate::permissions::Access::ReadOnly);
    let open = |flags: u32, rights: u32, then: &str| {
        format!(
            "(call $open (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 4) (i32.const {flags})
               (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 32)) {then}"
        )
    };
    let opened =
        |call: &str| open(0, 2, &format!("(if (then (call $proc_exit (i32.const 99)))) {call}"));
    let fd = "(i32.load (i32.const 32))";
    for (calls, error) in [
        // Truncates, creates, creates exclusively, or writes, without saying so in any other way.
        (open(8, 2, ""), 63),
        (open(1, 2, ""), 63),
        (open(5, 2, ""), 63),
        (open(0, 64, ""), 63),
        // Through a descriptor that is open for reading.
        (opened(&format!("(call $fd_write {fd} (i32.const 0) (i32.const 1) (i32.const 64))")), 8),
        (opened(&format!("(call $pwrite {fd} (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 64))")), 8),
        (opened(&format!("(call $size {fd} (i64.const 1))")), 63),
        (opened(&format!("(call $allocate {fd} (i64.const 0) (i64.const 100))")), 58),
        (opened(&format!("(call $times {fd} (i64.const 0) (i64.const 0) (i32.const 5))")), 63),
        // By name, with links followed or not, and the directory itself.
        ("(call $path_times (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 4) (i64.const 0) (i64.const 0) (i32.const 5))".to_owned(), 63),
        ("(call $path_times (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4) (i64.const 0) (i64.const 0) (i32.const 5))".to_owned(), 63),
        ("(call $times (i32.const 3) (i64.const 0) (i64.const 0) (i32.const 5))".to_owned(), 63),
    ] {
        let text = wasi(&format!(
            r#"(import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $size (param i32 i64) (result i32)))
            (import "wasi_snapshot_preview1" "fd_allocate" (func $allocate (param i32 i64 i64) (result i32)))
            (import "wasi_snapshot_preview1" "fd_filestat_set_times" (func $times (param i32 i64 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_filestat_set_times" (func $path_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\04") (data (i32.const 16) "file")
            (func (export "_start") {calls} (call $proc_exit))"#
        ));
        let evidence = run_task(&program(&text).permissions(permissions.clone()), &command());
        assert_eq!(evidence.ending, Ending::Exited(error), "{calls}");
        assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"hello", "{calls}");
    }
    let after = std::fs::metadata(folder.join("file")).unwrap().modified().unwrap();
    assert_eq!(before, after);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn an_input_that_comes_late_is_waited_for_inside_a_runtime_too() {
    use std::io::Write as _;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stdin = Stdin::Descriptor(Arc::new(reader.into()));
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(b"hello").unwrap());
        runtime.block_on(async { assert_all_works(&stdin) });
    });
}

#[test]
fn a_clock_that_shows_a_time_long_past_is_ready_at_once() {
    // Absolute times: of the wall in 1970, and of a monotonic clock that has just begun.
    for clock in [0, 1] {
        let text = wasi(&format!(
            "(memory (export \"memory\") 1)
             (func (export \"_start\")
               (i32.store (i32.const 16) (i32.const {clock})) (i64.store (i32.const 24) (i64.const 1))
               (i32.store16 (i32.const 40) (i32.const 1))
               (if (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200)) (then unreachable))
               (call $proc_exit (i32.load (i32.const 200))))"
        ));
        assert_eq!(run(&text).ending, Ending::Exited(1), "clock {clock}");
    }
}

#[test]
fn waiting_for_what_there_is_not_is_an_error_of_the_guests() {
    // Descriptor 7 is not there; 1 can't be read; 0 can't be written; clocks 2 and 3 can't be waited for.
    for (kind, what, error) in [(1, 7, 8), (1, 1, 8), (2, 0, 8), (0, 2, 28), (0, 3, 28)] {
        let text = wasi(&format!(
            "(memory (export \"memory\") 1)
             (func (export \"_start\")
               (i32.store8 (i32.const 8) (i32.const {kind})) (i32.store (i32.const 16) (i32.const {what}))
               (call $proc_exit
                 (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"
        ));
        assert_eq!(run(&text).ending, Ending::Exited(error), "{kind} {what}");
    }
    let nothing = wasi(
        "(memory (export \"memory\") 1)
         (func (export \"_start\")
           (call $proc_exit (call $poll (i32.const 0) (i32.const 104) (i32.const 0) (i32.const 200))))",
    );
    assert_eq!(run(&nothing).ending, Ending::Exited(28));
}

#[test]
fn every_function_of_preview_1_is_there_and_its_forerunner_too() {
    let names: Vec<_> = crate::wasm::wasi::names().collect();
    for (module, count) in [("wasi_snapshot_preview1", 46), ("wasi_unstable", 45)] {
        assert_eq!(names.iter().filter(|(of, _)| *of == module).count(), count, "{module}");
    }
    let old = wasi(
        "(memory (export \"memory\") 1)
         (func (export \"_start\")
           (i64.store (i32.const 0) (i64.const 7)) (i32.store (i32.const 24) (i32.const 1))
           (i64.store (i32.const 32) (i64.const 1000))
           (if (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200)) (then unreachable))
           (call $proc_exit (i32.load (i32.const 104))))",
    );
    let evidence = run(&old.replace("wasi_snapshot_preview1", "wasi_unstable"));
    assert_eq!(evidence.ending, Ending::Exited(7));
}

#[test]
fn random_numbers_are_given_in_bounds_and_stop_when_the_guest_is_to_end() {
    let asks = |length: u32, then: &str| {
        wasi(&format!(
            "(import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))
             (memory (export \"memory\") 1025)
             (func (export \"_start\") (local $said i32)
               (loop $again
                 (local.set $said (call $random (i32.const 1) (i32.const {length})))
                 {then})
               (call $proc_exit (local.get $said)))"
        ))
    };
    assert_eq!(run(&asks((64 << 20) + 1, "")).ending, Ending::Exited(0));
    // Beyond the end of memory it ends as any access there does.
    let beyond = asks(1 << 20, "")
        .replace("(i32.const 1) (i32.const 1048576)", "(i32.const 67100000) (i32.const 1048576)");
    let ending = run(&beyond).ending;
    assert!(matches!(ending, Ending::Trapped(TrapCause::MemoryOutOfBounds(_))), "{ending:?}");
    let soon = Limits { wall: Duration::from_millis(100), ..limits() };
    let evidence = run_task(&program(&asks(64 << 20, "(br $again)")).limits(soon), &command());
    assert_eq!(evidence.stopped_by_us, Some(StopReason::WallTime));
}

#[test]
fn paths_and_lists_of_buffers_are_bounded() {
    for (call, error) in [
        ("(call $mkdir (i32.const 3) (i32.const 0) (i32.const 4097))", 37),
        ("(call $mkdir (i32.const 3) (i32.const 0) (i32.const -1))", 37),
        ("(call $mkdir (i32.const 3) (i32.const 0) (i32.const 4096))", 8),
        (
            "(call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4097) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0))",
            37,
        ),
        ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1025) (i32.const 60000))", 28),
        ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 60000))", 0),
        ("(call $fd_read (i32.const 0) (i32.const 0) (i32.const 1025) (i32.const 60000))", 28),
    ] {
        let text = wasi(&format!(
            "(import \"wasi_snapshot_preview1\" \"path_create_directory\" (func $mkdir (param i32 i32 i32) (result i32)))
             (import \"wasi_snapshot_preview1\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
             (memory (export \"memory\") 1)
             (func (export \"_start\") (call $proc_exit {call}))"
        ));
        assert_eq!(run(&text).ending, Ending::Exited(error), "{call}");
    }
}
