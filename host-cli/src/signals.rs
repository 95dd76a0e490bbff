//! Ctrl-C and its relatives: the first asks the guest's wall to end it, a second one ends sandtrap at once.
//!
//! Nothing happens in signal context: a thread of its own reads the signals and acts on them.

use std::fs;
use std::process;
use std::thread;

use anyhow::Context as _;
use sandtrap::{StopHandle, StopReason};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit_code;

/// From now on a first signal calls `drain`, a second one stops the attempts of this handle, and a third Ctrl-C ends
/// sandtrap at once.
pub(crate) fn watch_in_steps(
    drain: impl Fn() + Send + 'static,
    stop: &StopHandle,
) -> anyhow::Result<()> {
    let stop = stop.clone();
    let mut signals_seen = 0;
    on_signals(move |signal| {
        signals_seen += 1;
        match signals_seen {
            1 => drain(),
            2 => _ = stop.stop(reason_of(signal)),
            _ if signal == SIGINT => process::exit(exit_code::CANCELLED.into()),
            _ => {}
        }
    })
}

/// From now on a signal stops the attempt of this handle, and sandtrap lives on to report it.
pub(crate) fn watch(stop: &StopHandle) -> anyhow::Result<()> {
    let stop = stop.clone();
    let mut asked = false;
    on_signals(move |signal| {
        if signal == SIGINT && asked {
            // Native guests die with us: their own guards see to it.
            process::exit(exit_code::CANCELLED.into());
        }
        stop.stop(reason_of(signal));
        asked = true;
    })
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
    use super::*;

    #[test]
    fn signals_that_were_ignored_at_the_start_are_found() {
        let mask = mask_in("Name:\tsandtrap\nSigIgn:\t0000000000001001\nSigCgt:\t0\n").unwrap();
        assert!(holds(mask, SIGHUP));
        assert!(!holds(mask, SIGINT));
        assert_eq!(mask_in("Name:\tsandtrap\n"), None);
    }

    #[test]
    fn ctrl_c_cancels_and_the_others_shut_down() {
        assert_eq!(reason_of(SIGINT), StopReason::Cancelled);
        assert_eq!(reason_of(SIGTERM), StopReason::Shutdown);
        assert_eq!(reason_of(SIGHUP), StopReason::Shutdown);
    }
}
