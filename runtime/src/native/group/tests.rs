//! Groups of version 2 where there are none: what is written to which file, and what is read from which.

use super::*;
use crate::quantity::ByteSize;

const FILES: [&str; 3] = ["memory.max", "memory.swap.max", "pids.max"];

#[test]
fn a_group_of_version_2_is_told_its_limits_and_read_by_its_own_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    for file in FILES {
        write(file, "");
    }
    write("memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\n");
    write("memory.peak", "4096\n");
    write("cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\n");
    let limits = Limits { memory: ByteSize::mib(1), threads: 2, ..Limits::default() };
    let memory = folder.path().to_owned();
    let folders = Folders { memory, pids: None, cpu: None, share: None };
    let clock = Some(Clock::v2(&folder.path().join("cpu.stat")));
    let group = Group::new(Version::V2, folders, clock, None, &limits).unwrap();
    assert_eq!(FILES.map(read), ["1048576", "0", "66"]);
    assert!(group.is_born_into());
    let counts = Counts { oom_kills: 2, peak: 4096, cpu: Duration::from_micros(30) };
    assert_eq!(group.counts(), counts);
    // Only a folder that the kernel has filled can be removed as a group.
    std::mem::forget(group);
}
