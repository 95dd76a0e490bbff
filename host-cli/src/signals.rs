//! Ctrl-C and its relatives: the first asks the guest's wall to end it, a second one ends sandtrap at once. Where guests have a
//! time of grace there is a step between: the second one takes it away from them.
//!
//! Only a Ctrl-C insists. The others come twice of themselves: SIGHUP from the kernel and from the shell, SIGTERM from `timeout`
//! to its child and then to the whole group, SIGTERM with SIGHUP from systemd. Who gives no more time there sends SIGKILL.
//!
//! Nothing happens in signal context: a thread of its own reads the signals and acts on them.

use std::fs;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sandtrap::{StopHandle, StopReason};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit_code;

/// What comes this soon after the first is that one once more, unless somebody has pressed Ctrl-C again.
const TWICE: Duration = Duration::from_secs(1);

/// From now on a first signal calls `drain`, a second one stops the attempts of this handle (a Ctrl-C at once, another one where
/// it is not the first one come twice), a Ctrl-C after that takes what time of grace they have, if they have any, and the next
/// one ends sandtrap at once.
pub(crate) fn watch_in_steps(
    drain: impl Fn() + Send + 'static,
    stop: &StopHandle,
    grace: Duration,
) -> anyhow::Result<()> {
    let mut hear = drains_first(drain, in_steps(stop, grace));
    on_signals(move |signal| hear(signal, Instant::now()))
}

fn drains_first(
    drain: impl Fn() + Send + 'static,
    mut end: impl FnMut(i32) + Send + 'static,
) -> impl FnMut(i32, Instant) + Send + 'static {
    let mut first: Option<Instant> = None;
    move |signal, now| match first {
        None => {
            first = Some(now);
            drain();
        }
        Some(at) if signal != SIGINT && now.duration_since(at) < TWICE => {}
        Some(_) => end(signal),
    }
}

/// From now on a signal stops the attempt of this handle, and sandtrap lives on to report it. A Ctrl-C after that takes what time
/// of grace it has, if it has any, and the next one ends sandtrap at once.
pub(crate) fn watch(stop: &StopHandle, grace: Duration) -> anyhow::Result<()> {
    on_signals(in_steps(stop, grace))
}

fn in_steps(stop: &StopHandle, grace: Duration) -> impl FnMut(i32) + Send + 'static {
    let stop = stop.clone();
    let (mut is_asked, mut is_pressed) = (false, grace.is_zero());
    move |signal| {
        if !is_asked {
            is_asked = true;
            stop.stop(reason_of(signal));
        } else if signal != SIGINT {
            // It was asked already.
        } else if !is_pressed {
            is_pressed = true;
            stop.stop_now(reason_of(signal));
        } else {
            // Native guests die with us: their own guards see to it.
            process::exit(exit_code::CANCELLED.into());
        }
    }
}

fn on_signals(mut act: impl FnMut(i32) + Send + 'static) -> anyhow::Result<()> {
    let ignored = ignored_from_the_start();
    let heeded = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !holds(ignored, *signal));
    let mut signals = Signals::new(heeded).context("cannot watch for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(&mut act))
        .context("cannot start the thread that watches for signals")?;
    Ok(())
}

fn reason_of(signal: i32) -> StopReason {
    match signal {
        SIGINT => StopReason::Cancelled,
        _ => StopReason::Shutdown,
    }
}

/// Who started us under `nohup`, or in the background of a script, wants these signals to stay ignored.
fn ignored_from_the_start() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    mask_in(&status).unwrap_or(0)
}

fn mask_in(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

fn holds(mask: u64, signal: i32) -> bool {
    mask & (1 << (signal - 1)) != 0
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn signals_that_were_ignored_at_the_start_are_found() {
        let mask = mask_in("Name:\tsandtrap\nSigIgn:\t0000000000001001\nSigCgt:\t0\n").unwrap();
        assert!(holds(mask, SIGHUP));
        assert!(!holds(mask, SIGINT));
        assert_eq!(mask_in("Name:\tsandtrap\n"), None);
    }

    #[test]
    fn only_ctrl_c_takes_a_time_of_grace_away() {
        for first in [SIGINT, SIGTERM, SIGHUP] {
            let stop = StopHandle::new();
            let mut hear = in_steps(&stop, Duration::from_secs(3_600));
            for signal in [first, SIGTERM, SIGHUP, SIGTERM, SIGHUP] {
                hear(signal);
                assert_eq!((stop.reason(), stop.is_urgent()), (Some(reason_of(first)), false));
            }
            hear(SIGINT);
            assert_eq!((stop.reason(), stop.is_urgent()), (Some(reason_of(first)), true));
        }
    }

    #[test]
    fn what_comes_twice_of_itself_drains_once_and_stops_nothing() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (drained, ended) = (Arc::clone(&heard), Arc::clone(&heard));
        let mut hear = drains_first(
            move || drained.lock().unwrap().push(0),
            move |signal| ended.lock().unwrap().push(signal),
        );
        let begun = Instant::now();
        for (signal, after, expected) in [
            (SIGTERM, 0, &[0][..]),
            (SIGTERM, 1, &[0]),
            (SIGHUP, 999, &[0]),
            (SIGTERM, 1_000, &[0, SIGTERM]),
            (SIGINT, 1_001, &[0, SIGTERM, SIGINT]),
        ] {
            hear(signal, begun + Duration::from_millis(after));
            assert_eq!(*heard.lock().unwrap(), expected, "{after}");
        }
    }

    #[test]
    fn ctrl_c_cancels_and_the_others_shut_down() {
        assert_eq!(reason_of(SIGINT), StopReason::Cancelled);
        assert_eq!(reason_of(SIGTERM), StopReason::Shutdown);
        assert_eq!(reason_of(SIGHUP), StopReason::Shutdown);
    }
}
