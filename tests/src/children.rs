//! The processes that another one started.

use std::fs;

/// Those of this process.
pub fn children() -> Vec<i32> {
    children_of(std::process::id())
}

/// Those that are there, zombies included. Every process of the machine is asked whose child it is: a thread's own list of
/// children moves to another thread when it ends, and who reads one list after the other may find a child in none.
pub fn children_of(parent: u32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: i32) -> Option<u32> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A program may have any name, with anything in it.
    let (_, behind) = line.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::thread;

    use super::*;

    #[test]
    fn a_child_is_found_whichever_thread_started_it_and_wherever_that_is_now() {
        let start = || Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut own = [start(), thread::spawn(start).join().unwrap()];
        let found = children();
        for child in &mut own {
            assert!(found.contains(&child.id().cast_signed()));
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
