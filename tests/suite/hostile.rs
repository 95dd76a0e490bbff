//! Modules that mean harm end as they should, and the host does not notice.

use std::collections::BTreeSet;
use std::process::Command;

use sandtrap_tests::hostile::table;

/// Passes over the table after the one that fills caches, stashes and the pools of the allocator: three times as many as
/// it takes. What happens to be resident after one of them tells little.
const EACH: usize = 3;
const PASSES: usize = 3 * EACH;

/// How much an allocator's holes may differ between the best of some passes and the best of those after them. They grow for a
/// while, and then no more; compiled modules that stayed would be more each time: each holds tens of KiB, and a pass has more
/// than a thousand of them.
const SLACK_KIB: u64 = 24 * 1024;

/// A thread that is kept for the next task has a descriptor or two.
const SLACK_DESCRIPTORS: u64 = 8;

#[test]
fn every_hostile_module_is_rejected_or_stopped_and_leaves_nothing_behind() {
    let output = Command::new(env!("CARGO_BIN_EXE_hostile_host"))
        .arg((1 + PASSES).to_string())
        // With a pool for each thread, what is resident would depend on which thread met which module.
        .env("MALLOC_ARENA_MAX", "1")
        // And what is free shall be given back, not kept for later.
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .output()
        .expect("the host can be started");
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert!(!errors.contains("panicked"), "{errors}");
    let wrong: Vec<&str> = text.lines().filter(|line| line.starts_with("wrong: ")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let counted: Vec<Vec<u64>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("counted: "))
        .map(|line| line.split(' ').map(|number| number.parse().expect("a number")).collect())
        .collect();
    assert_eq!(counted.len(), 1 + PASSES, "{text}");
    let (warm, later) = (&counted[0], &counted[1..]);
    let least = |passes: &[Vec<u64>]| passes.iter().map(|counted| counted[0]).min();
    let best: Vec<u64> = later.chunks(EACH).filter_map(least).collect();
    let levels_off = best.windows(2).any(|two| two[1] <= two[0] + SLACK_KIB);
    assert!(levels_off, "resident KiB, descriptors, children: {counted:?}");
    for counted in later {
        assert!(counted[1] <= warm[1] + SLACK_DESCRIPTORS, "{warm:?}, then {later:?}");
        assert_eq!(counted[2], 0, "children of a host that starts none");
    }
}

#[test]
fn the_table_of_hostile_modules_is_long_and_has_no_name_twice() {
    let rows = table();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    assert!(rows.len() >= 200, "{}", rows.len());
    let modules: usize = rows.iter().map(|row| (row.make)().len()).sum();
    assert!(rows.iter().all(|row| !(row.make)().is_empty()) && modules >= 1_000, "{modules}");
}

/// Whatever it is, it can be looked at; and an obstacle that is seen is the one that a run meets.
#[test]
fn every_hostile_module_can_be_inspected() {
    /// The flipped bits of one module are much alike.
    const MOST_OF_A_ROW: usize = 16;
    let file = tempfile::NamedTempFile::with_suffix(".wasm").unwrap();
    for row in table() {
        for module in (row.make)().iter().take(MOST_OF_A_ROW) {
            std::fs::write(file.path(), module).unwrap();
            let found = sandtrap::inspect(file.path()).unwrap();
            let imports = found.module.iter().flat_map(|module| &module.imports);
            let types = imports.flat_map(|group| &group.items).map(|import| import.item.ty.len());
            assert!(types.max().unwrap_or(0) < 256, "{}", row.name);
            if let Some(obstacle) = found.obstacle {
                let labels: Vec<&str> = row.labels.iter().map(|label| label.as_str()).collect();
                assert!(labels.contains(&obstacle.label), "{}: {obstacle:?}", row.name);
                assert!(obstacle.detail.len() < 4096, "{}: {}", row.name, obstacle.detail.len());
            }
        }
    }
}
