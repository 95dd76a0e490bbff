//! Poison: who is blamed, for how long, and who is not.

use proptest::prelude::*;

use super::*;

fn culprit(number: u8) -> Culprit {
    Culprit { kind: "parse".into(), digest: [number; 16] }
}

fn death(at: Instant, worker: u64) -> Death {
    Death { at, worker, label: Label::CrashedMemoryFault }
}

fn quarantine() -> Quarantine {
    Quarantine::new(QuarantineSettings::default())
}

#[test]
fn s33_s69_one_death_is_bad_luck_two_are_suspicious_and_three_are_poison() {
    let (mut list, now) = (quarantine(), Instant::now());
    let standings: Vec<Standing> =
        (1..=3).map(|worker| list.died(&culprit(1), death(now, worker))).collect();
    assert_eq!(standings, [Standing::Clear, Standing::Suspect, Standing::Poison]);
    let refused = list.admit(&culprit(1), now).unwrap_err();
    assert_eq!(refused.deaths.iter().map(|death| death.worker).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(refused.until, now + Duration::from_secs(3_600));
    assert_eq!(list.list(now).len(), 1);
}

#[test]
fn s68_neighbours_and_other_kinds_of_work_are_not_blamed() {
    // Dask blames every task that was assigned to the dead worker.
    let (mut list, now) = (quarantine(), Instant::now());
    for worker in 1..=3 {
        list.died(&culprit(1), death(now, worker));
    }
    assert_eq!(list.admit(&culprit(2), now), Ok(Standing::Clear));
    let same_input = Culprit { kind: "render".into(), ..culprit(1) };
    assert_eq!(list.admit(&same_input, now), Ok(Standing::Clear));
}

#[test]
fn s69_poison_is_let_go_by_hand_or_after_a_time() {
    let (mut list, now) = (quarantine(), Instant::now());
    for number in [1, 2] {
        for worker in 1..=3 {
            list.died(&culprit(number), death(now, worker));
        }
    }
    assert!(list.release(&culprit(1)) && !list.release(&culprit(1)));
    assert_eq!(list.admit(&culprit(1), now), Ok(Standing::Clear));
    let almost = now + Duration::from_secs(3_599);
    assert!(list.admit(&culprit(2), almost).is_err());
    assert_eq!(list.admit(&culprit(2), almost + Duration::from_secs(1)), Ok(Standing::Clear));
    let mut old = quarantine();
    old.died(&culprit(1), death(now, 1));
    old.died(&culprit(1), death(now, 2));
    let later = now + Duration::from_secs(3_600);
    assert_eq!(old.died(&culprit(1), death(later, 3)), Standing::Clear, "old deaths are forgotten");
}

#[test]
fn s33_many_deaths_of_different_tasks_at_once_are_the_hosts_fault() {
    let (mut list, now) = (quarantine(), Instant::now());
    for number in 1..=8 {
        list.died(&culprit(number), death(now, number.into()));
    }
    // Excused once: two more deaths leave each a suspect, where it would have been poison.
    let later = now + Duration::from_secs(60);
    for number in 1..=8 {
        let apart = later + Duration::from_secs(60) * number.into();
        list.died(&culprit(number), death(apart, 100));
        let standing = list.died(&culprit(number), death(apart, 101));
        assert_eq!(standing, Standing::Suspect, "{number}");
    }
}

#[test]
fn s33_who_kills_in_every_cluster_is_found_all_the_same() {
    let (mut list, mut now) = (quarantine(), Instant::now());
    let mut deaths = 0;
    while list.admit(&culprit(0), now).is_ok() {
        for number in 0..8 {
            let crowd = if number == 0 { culprit(0) } else { culprit(deaths * 8 + number + 1) };
            list.died(&crowd, death(now, 0));
        }
        (deaths, now) = (deaths + 1, now + Duration::from_secs(5));
    }
    assert_eq!(deaths, 4, "three, and the one it was excused for");
}

#[test]
fn s31_the_list_is_bounded() {
    let settings = QuarantineSettings { most: 10, cluster: 1_000, ..QuarantineSettings::default() };
    let (mut list, mut now) = (Quarantine::new(settings), Instant::now());
    for number in 0..100 {
        now += Duration::from_secs(5);
        for worker in 0..3 {
            list.died(&culprit(number), death(now, worker));
        }
        assert!(list.cases.len() <= 10);
    }
    assert!(list.admit(&culprit(99), now).is_err() && list.admit(&culprit(0), now).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The model keeps every death of every task.
    #[test]
    fn s33_a_task_is_refused_exactly_after_its_third_death_within_the_time(
        steps in prop::collection::vec((0_u8..5, 1_u64..1_500), 0..300),
    ) {
        let settings = QuarantineSettings { cluster: 1_000, ..QuarantineSettings::default() };
        let (mut list, mut now) = (Quarantine::new(settings), Instant::now());
        let mut model: HashMap<u8, Vec<Instant>> = HashMap::new();
        for (number, seconds) in steps {
            now += Duration::from_secs(seconds);
            let deaths = model.entry(number).or_default();
            if deaths.last().is_some_and(|last| now - *last >= settings.keep_for) {
                deaths.clear();
            }
            let admitted = list.admit(&culprit(number), now);
            prop_assert_eq!(admitted.is_err(), deaths.len() >= 3);
            if admitted.is_ok() {
                deaths.push(now);
                list.died(&culprit(number), death(now, seconds));
            }
        }
    }
}
