//! Who is stopped with whom, and who is woken for it.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

fn counter() -> (Arc<AtomicU32>, impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&count);
    (count, move || {
        seen.fetch_add(1, Ordering::SeqCst);
    })
}

#[test]
fn the_first_reason_counts_and_wakes_once() {
    let (count, wake) = counter();
    let stop = StopHandle::new();
    let guard = stop.on_stop(wake);
    assert!(stop.stop(StopReason::WallTime));
    assert!(!stop.stop(StopReason::Cancelled));
    drop(guard);
    assert_eq!(stop.reason(), Some(StopReason::WallTime));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stop_before_the_start_wakes_at_once() {
    let (count, wake) = counter();
    let stop = StopHandle::new();
    stop.stop(StopReason::Shutdown);
    let _guard = stop.on_stop(wake);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn one_handle_wakes_everybody_who_is_still_there() {
    let ((gone, wake_gone), (here, wake_here)) = (counter(), counter());
    let stop = StopHandle::new();
    let (first, second) = (stop.on_stop(wake_gone), stop.on_stop(wake_here));
    drop(first);
    stop.stop(StopReason::Cancelled);
    drop(second);
    assert_eq!((gone.load(Ordering::SeqCst), here.load(Ordering::SeqCst)), (0, 1));
}

#[test]
fn a_tied_handle_is_stopped_with_the_other_and_not_the_other_way_round() {
    let (callers, one, two) = (StopHandle::new(), StopHandle::new(), StopHandle::new());
    let (_first, second) = (callers.tie(&one), callers.tie(&two));
    one.stop(StopReason::WallTime);
    assert_eq!((callers.reason(), two.reason()), (None, None));
    callers.stop(StopReason::Cancelled);
    assert_eq!(one.reason(), Some(StopReason::WallTime), "the first reason counts");
    assert_eq!(two.reason(), Some(StopReason::Cancelled));
    drop(second);
    let late = StopHandle::new();
    let _late = callers.tie(&late);
    assert_eq!(late.reason(), Some(StopReason::Cancelled));
}

#[test]
fn a_dropped_guard_is_woken_no_more() {
    let (count, wake) = counter();
    let stop = StopHandle::new();
    drop(stop.on_stop(wake));
    stop.stop(StopReason::Cancelled);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_tie_that_is_over_stops_nobody_however_late_its_stop_comes() {
    for _ in 0..2_000 {
        let (callers, kept) = (StopHandle::new(), StopHandle::new());
        let tied = callers.tie(&kept);
        let (of, began) = (callers.clone(), Arc::new(std::sync::Barrier::new(2)));
        let also = Arc::clone(&began);
        let stopper = std::thread::spawn(move || {
            also.wait();
            of.stop(StopReason::Cancelled)
        });
        began.wait();
        drop(tied);
        // From here on it is another task's: what has come by now may be told, and nothing comes after it.
        let now = kept.reason();
        stopper.join().unwrap();
        assert_eq!(kept.reason(), now);
    }
}
