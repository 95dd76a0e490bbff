//! Core dumps: made on request, of what died, and readable by others.

use super::*;
use crate::core_dump::CoreDump;
use crate::evidence::Step;
use wasmparser::{CoreDumpStackSection, KnownCustom, Operator, Parser, Payload};

/// What another reader finds in a dump.
#[derive(Debug, Default)]
struct Read {
    name: String,
    modules: usize,
    instances: usize,
    functions: Vec<u32>,
    pages: Vec<u64>,
    data: Vec<(u32, Vec<u8>)>,
    globals: Vec<i32>,
}

fn read(dump: &[u8]) -> Read {
    let mut read = Read::default();
    for payload in Parser::new(0).parse_all(dump) {
        match payload.unwrap() {
            Payload::MemorySection(memories) => {
                read.pages.extend(memories.into_iter().map(|memory| memory.unwrap().initial));
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let init = global.unwrap().init_expr.get_operators_reader().read().unwrap();
                    let Operator::I32Const { value } = init else { panic!("{init:?}") };
                    read.globals.push(value);
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = segment.unwrap();
                    let wasmparser::DataKind::Active { offset_expr, .. } = segment.kind else {
                        panic!("{segment:?}")
                    };
                    let offset = offset_expr.get_operators_reader().read().unwrap();
                    let Operator::I32Const { value } = offset else { panic!("{offset:?}") };
                    read.data.push((value.cast_unsigned(), segment.data.to_vec()));
                }
            }
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::CoreDump(core) => read.name = core.name.to_owned(),
                KnownCustom::CoreDumpModules(modules) => read.modules = modules.modules.len(),
                KnownCustom::CoreDumpInstances(all) => read.instances = all.instances.len(),
                KnownCustom::CoreDumpStack(CoreDumpStackSection { frames, .. }) => {
                    read.functions = frames.iter().map(|frame| frame.funcidx).collect();
                }
                _ => panic!("a section that no dump has: {}", section.name()),
            },
            _ => {}
        }
    }
    read
}

fn wanted(text: &str) -> Program {
    program(text).core_dump(true)
}

fn dump_of(text: &str) -> Read {
    match run_task(&wanted(text), &command()).core_dump {
        Some(CoreDump::Taken(bytes)) => read(&bytes),
        other => panic!("{other:?}"),
    }
}

/// Writes a word, counts to seven, and does this two calls deep.
fn dies(how: &str) -> String {
    format!(
        "(module (memory 2) (data \"word\") (global $g (mut i32) (i32.const 0))
           (func (export \"_start\")
             (memory.init 0 (i32.const 70000) (i32.const 0) (i32.const 4))
             (global.set $g (i32.const 7)) (call $dies))
           (func $dies {how}))"
    )
}

#[test]
fn a_dump_has_memories_globals_and_the_stack_of_the_dead() {
    for how in [
        "unreachable",
        "(drop (i32.load (i32.const -1)))",
        "(drop (memory.grow (i32.const 60000)))",
        "(call $dies) (nop)",
    ] {
        let read = dump_of(&dies(how));
        assert_eq!((read.name.as_str(), read.modules, read.instances), ("test.wat", 1, 1), "{how}");
        assert_eq!((&read.pages, &read.globals), (&vec![2], &vec![7]), "{how}");
        assert_eq!(read.data, [(70_000, b"word".to_vec())], "{how}");
        assert_eq!(read.functions.first(), Some(&1), "{how}");
    }
}

#[test]
fn one_that_was_stopped_has_a_dump_of_where_it_was() {
    // On a slow machine the first deadlines may come before it is there.
    let was_there = (0..8).any(|round| {
        let mut limits = limits();
        limits.wall = Duration::from_millis(50 << round);
        let program = wanted(&dies("(loop (br 0))")).limits(limits);
        let evidence = run_task(&program, &command());
        assert_eq!(evidence.stopped_by_us, Some(StopReason::WallTime));
        let dump = evidence.core_dump.as_ref().and_then(|dump| dump.bytes());
        dump.is_some_and(|bytes| read(bytes).functions == [1, 0])
    });
    assert!(was_there);
}

#[test]
fn who_ended_in_order_or_was_not_asked_for_leaves_none() {
    let exits = wasi(
        "(memory (export \"memory\") 1) (func (export \"_start\") (call $proc_exit (i32.const 3)))",
    );
    for text in [&exits, &start("")] {
        assert!(run_task(&wanted(text), &command()).core_dump.is_none());
    }
    assert!(run(&dies("unreachable")).core_dump.is_none());
}

#[test]
fn what_no_dump_can_tell_is_said_instead() {
    let text = "(module (global exnref (ref.null exn)) (func (export \"_start\") unreachable))";
    let evidence = run_task(&wanted(text), &command());
    assert!(matches!(evidence.core_dump, Some(CoreDump::Missing(_))), "{evidence:?}");
    assert_eq!(evidence.ending, Ending::Trapped(TrapCause::Unreachable));
}

#[test]
fn a_dump_of_a_component_is_refused_before_it_runs() {
    let error = load(&wanted("(component)")).err().expect("it is no command, either");
    assert_eq!(error.into_refusal().step, Step::Accept);
}
