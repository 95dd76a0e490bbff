//! Reports that nobody takes: what they hold has a bound, and nobody who waits is kept waiting by it.

use std::thread;

use sandtrap::{ByteSize, Ticket};

use super::*;

const MIB: u64 = 1024 * 1024;

fn bounded(wall: &Acted, mib: u64) -> Pool {
    let unread = ByteSize::mib(mib);
    pool(wall, PoolSettings { unread, queue: 10_000, ..PoolSettings::with_workers(2) })
}

fn pour(pool: &Pool, tasks: usize) -> Vec<Ticket> {
    (0..tasks).map(|_| pool.submit(task("pours")).unwrap()).collect()
}

/// Waits until reports hold more than they may, and no task is running.
fn wait_until_full(pool: &Pool, mib: u64) {
    while pool.status().unread_bytes <= mib * MIB || count(pool, WorkerState::Busy) > 0 {
        thread::yield_now();
    }
}

fn whole(report: &Report) -> bool {
    report.output.stdout.as_ref().is_some_and(|out| out.len() as u64 == MIB)
}

#[test]
fn a_caller_who_reads_late_has_so_much_at_once_and_all_of_it_in_any_order() {
    for order in ["first to last", "last to first", "every other one"] {
        let wall = Acted::new();
        let pool = bounded(&wall, 4);
        let mut tickets = pour(&pool, 100);
        wait_until_full(&pool, 4);
        // Each of the workers was at one task when there was too much.
        assert!(wall.began().len() <= 6, "{order}: {} tasks began", wall.began().len());
        assert!(pool.status().waiting >= 94);
        match order {
            "last to first" => tickets.reverse(),
            "every other one" => {
                let (even, odd): (Vec<_>, Vec<_>) =
                    tickets.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
                tickets = odd.into_iter().chain(even).map(|(_, ticket)| ticket).collect();
            }
            _ => {}
        }
        for ticket in tickets {
            assert!(whole(&ticket.wait()), "{order}");
            // What the caller waits for comes besides.
            assert!(pool.status().unread_bytes <= 8 * MIB, "{order}");
        }
        assert_eq!((pool.status().unread_bytes, wall.began().len()), (0, 100), "{order}");
    }
}

#[test]
fn who_waits_before_there_is_too_much_is_not_kept_waiting_by_it() {
    let wall = Acted::new();
    let pool = bounded(&wall, 2);
    let gates: Vec<_> = (0..2).map(|_| pool.submit(task("gate")).unwrap()).collect();
    wall.wait_for(2);
    let tickets = pour(&pool, 50);
    let last = pool.submit(task("pours")).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| last.wait());
        // Whether he waits already or not yet when the gate opens: he has his report.
        wall.let_go();
        assert!(whole(&waits.join().unwrap()));
    });
    gates.into_iter().for_each(|ticket| assert_eq!(label(&ticket.wait()), "completed"));
    assert!(tickets.into_iter().all(|ticket| whole(&ticket.wait())));
}

#[test]
fn who_asks_and_never_waits_has_his_report_too_and_dropped_tickets_hold_nothing() {
    let wall = Acted::new();
    let pool = bounded(&wall, 2);
    let mut tickets = pour(&pool, 30);
    wait_until_full(&pool, 2);
    let last = tickets.pop().unwrap();
    while !last.is_ready() {
        thread::yield_now();
    }
    assert!(pool.status().waiting > 0, "the others wait on");
    drop(tickets);
    while pool.status().finished < 30 {
        thread::yield_now();
    }
    assert!(whole(&last.wait()));
    assert_eq!(pool.status().unread_bytes, 0);
}

#[test]
fn a_pool_whose_reports_nobody_takes_ends_all_the_same_and_a_task_run_on_the_spot_needs_no_room() {
    let wall = Acted::new();
    let pool = bounded(&wall, 2);
    let tickets = pour(&pool, 30);
    wait_until_full(&pool, 2);
    assert!(whole(&pool.run(task("pours"))));
    let drained = pool.shut_down();
    assert!(drained.returned > 20, "{drained:?}");
    let labels: Vec<_> = tickets.into_iter().map(|ticket| label(&ticket.wait())).collect();
    assert_eq!(labels.iter().filter(|it| **it == "unstarted.rejected").count(), drained.returned);
}

#[test]
fn who_takes_on_more_than_there_is_room_for_before_he_reads_anything_is_not_kept_waiting() {
    for backwards in [false, true] {
        let wall = Acted::new();
        let settings = PoolSettings { queue: 4, ..PoolSettings::with_workers(2) };
        let pool = pool(&wall, PoolSettings { unread: ByteSize::kib(8), ..settings });
        let mut tickets: Vec<_> = (0..200).map(|_| pool.submit(task("ok")).unwrap()).collect();
        // One begins for each that found no room, and no more.
        assert_eq!(pool.status().waiting, 4);
        assert!(pool.try_submit(task("ok")).unwrap_err().why.is_full());
        if backwards {
            tickets.reverse();
        }
        for ticket in tickets {
            assert_eq!(label(&ticket.wait()), "completed");
        }
        assert_eq!((pool.status().unread_bytes, wall.began().len()), (0, 200));
    }
}

#[test]
fn many_who_wait_for_room_while_reports_are_held_all_have_theirs() {
    let wall = Acted::new();
    let settings = PoolSettings { queue: 2, ..PoolSettings::with_workers(2) };
    let pool = pool(&wall, PoolSettings { unread: ByteSize::kib(4), ..settings });
    let unread: Vec<_> = (0..20).map(|_| pool.submit(task("ok")).unwrap()).collect();
    thread::scope(|scope| {
        for caller in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                let orders = || (0..50).map(|_| task("ok"));
                match caller {
                    0 => orders().for_each(|order| _ = pool.run(order)),
                    1 => assert_eq!(pool.map(orders()).count(), 50),
                    2 => assert_eq!(pool.as_completed(orders()).count(), 50),
                    _ => orders().for_each(|order| drop(pool.submit(order).unwrap())),
                }
            });
        }
    });
    unread.into_iter().for_each(|ticket| assert_eq!(label(&ticket.wait()), "completed"));
    assert_eq!(label(&pool.run(task("ok"))), "completed");
}
