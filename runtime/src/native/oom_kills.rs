//! Whose the kills were that the kernel counted in a task's memory group.
//!
//! The counter says how many, and not who. A process other than the first one that dies of a SIGKILL when the
//! counter has just gone up took that kill; what is left over was the first one's.

use libc::c_int;

/// Takes note of the end of another process of the task. `kills` reads the counter.
pub(super) fn attribute(of_others: &mut Option<u64>, status: c_int, kills: impl Fn() -> u64) {
    let was_killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
    if let Some(known) = of_others.filter(|_| was_killed) {
        *of_others = Some(kills().min(known + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_anothers_if_the_counter_went_up_when_it_died() {
        let mut of_others = Some(0);
        let steps = [
            // An exit, a death of another signal, a kill that the kernel didn't count: none of them.
            (0, 0, 0),
            (libc::SIGSEGV, 1, 0),
            (libc::SIGKILL, 0, 0),
            (libc::SIGKILL, 1, 1),
            // Its parent killed this one.
            (libc::SIGKILL, 1, 1),
            (libc::SIGKILL, 3, 2),
        ];
        for (status, counter, expected) in steps {
            attribute(&mut of_others, status, || counter);
            assert_eq!(of_others, Some(expected), "{status} {counter}");
        }
    }

    #[test]
    fn where_nobody_sees_the_others_nothing_is_said_of_them() {
        let mut of_others = None;
        attribute(&mut of_others, libc::SIGKILL, || 1);
        assert_eq!(of_others, None);
    }
}
