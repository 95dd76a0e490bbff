//! Chaos in small: `cargo run -p sandtrap-tests --bin chaos -- --tasks 100000` is the large one.

use std::collections::BTreeMap;

use sandtrap_tests::chaos::{Chaos, Extent};

#[test]
fn p01_p10_s01_tasks_die_in_every_way_and_each_has_its_own_report() {
    let chaos = Chaos::run(Extent::Tasks(1_000));
    assert_eq!(chaos.tasks, 1_000);
    assert_eq!(chaos.wrong, BTreeMap::new());
    assert_eq!(chaos.lost, Vec::<String>::new());
    for pulse in &chaos.waited {
        assert_eq!(pulse.wrong, Vec::<String>::new(), "{}", pulse.name);
        assert!(!pulse.times.is_empty(), "{} was never answered", pulse.name);
        assert!(pulse.is_in_time(chaos.longest), "{pulse}, beside tasks of {:?}", chaos.longest);
    }
    assert!(chaos.killed > 0);
    let [before, _, late, gone] = chaos.counted;
    // A loaded program keeps a few groups for its next tasks.
    assert_eq!((late.children, gone.groups), (0, 0), "{chaos}");
    // A few threads stay with a runtime, and a descriptor or two with each.
    assert!(gone.descriptors <= before.descriptors + 16, "{chaos}");
    assert!(gone.threads <= before.threads + 16, "{chaos}");
    assert!(chaos.is_right(), "{chaos}");
}
