//! The end of a pool: nothing is lost, and nothing is left.

use sandtrap::{Drained, Rejection};

use super::*;

#[test]
fn s70_a_drained_pool_ends_what_runs_hands_back_what_waits_and_takes_nothing_more() {
    let wall = Acted::new();
    let pool = workers(&wall, 2);
    let running: Vec<_> = (0..2).map(|_| pool.try_submit(task("gate")).unwrap()).collect();
    wall.wait_for(2);
    let waiting: Vec<_> = (0..3).map(|_| pool.try_submit(task("ok")).unwrap()).collect();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| pool.drain(LONG));
        for ticket in waiting {
            let report = ticket.wait();
            assert!(report.verdict.to_string().contains("draining"), "{}", report.verdict);
        }
        assert_eq!(pool.try_submit(task("ok")).unwrap_err().why, Rejection::Draining);
        assert_eq!(count(&pool, WorkerState::Draining), 2);
        wall.let_go();
        let expected = Drained { finished: 2, returned: 3, killed: 0 };
        assert_eq!(drained.join().unwrap(), expected);
    });
    running.into_iter().for_each(|ticket| assert_eq!(label(&ticket.wait()), "completed"));
    assert_eq!(wall.began().len(), 2);
}

#[test]
fn s70_what_is_not_done_in_time_is_stopped() {
    let wall = Acted::new();
    let pool = workers(&wall, 2);
    let tickets = ["gate", "waits"].map(|does| pool.try_submit(task(does)).unwrap());
    wall.wait_for(2);
    let expected = Drained { finished: 0, returned: 0, killed: 2 };
    assert_eq!(pool.drain(Duration::from_millis(2)), expected);
    assert_eq!(tickets.map(|ticket| label(&ticket.wait())), ["stopped.shutdown"; 2]);
}

#[test]
fn a_pool_that_is_dropped_or_shut_down_leaves_no_ticket_without_a_report_and_no_cell() {
    for drops in [true, false] {
        let wall = Acted::new();
        let pool = workers(&wall, 2);
        let mut tickets: Vec<_> = (0..2).map(|_| pool.try_submit(task("waits")).unwrap()).collect();
        wall.wait_for(2);
        tickets.extend((0..50).map(|_| pool.try_submit(task("ok")).unwrap()));
        if !drops {
            let expected = Drained { finished: 0, returned: 50, killed: 2 };
            assert_eq!(pool.shut_down(), expected);
        }
        drop(pool);
        let labels: Vec<_> = tickets.into_iter().map(|ticket| label(&ticket.wait())).collect();
        assert_eq!(labels[..2], ["stopped.shutdown"; 2]);
        assert_eq!(labels[2..], ["unstarted.rejected"; 50]);
        assert_eq!(wall.alive(), 0);
    }
}

#[test]
fn a_deaf_task_cannot_hold_up_the_end() {
    let wall = Acted::new();
    let patience = Duration::from_millis(5);
    let pool = pool(&wall, PoolSettings { patience, ..PoolSettings::with_workers(1) });
    let deaf = pool.try_submit(task("deaf")).unwrap();
    wall.wait_for(1);
    drop(pool);
    assert_eq!(label(&deaf.wait()), "stopped.shutdown");
    wall.let_go();
}

#[test]
fn who_waits_for_room_is_told_that_the_pool_ends() {
    let wall = Acted::new();
    let pool = pool(&wall, PoolSettings { queue: 1, ..PoolSettings::with_workers(1) });
    drop(pool.try_submit(task("gate")).unwrap());
    wall.wait_for(1);
    drop(pool.try_submit(task("ok")).unwrap());
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| pool.submit(task("ok")).unwrap_err().why);
        pool.shut_down();
        assert_eq!(blocked.join().unwrap(), Rejection::Draining);
    });
}

#[test]
fn a_callback_may_ask_the_pool_and_even_drop_it() {
    let wall = Acted::new();
    let held: Arc<Mutex<Option<Pool>>> = Arc::default();
    let (asked, again) = (Arc::clone(&held), Arc::clone(&held));
    let telemetry = Telemetry::to(move |happening| {
        if let Happening::TaskFinished { .. } = happening {
            // Its own worker's thread drops the pool here.
            let taken = again.lock().unwrap().take();
            if let Some(pool) = taken {
                assert_eq!(pool.status().waiting, 0);
            }
        }
    });
    let pool = pool(&wall, PoolSettings { telemetry, ..PoolSettings::with_workers(1) });
    let ticket = {
        let mut held = asked.lock().unwrap();
        let ticket = pool.try_submit(task("gate")).unwrap();
        *held = Some(pool);
        ticket
    };
    wall.let_go();
    assert_eq!(label(&ticket.wait()), "completed");
    while held.lock().unwrap().is_some() {
        std::thread::yield_now();
    }
}
