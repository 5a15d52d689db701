//! One test a transition.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::Status;
use steadyline_component::leadership::{Admission, Leadership};

use super::support::*;

/// Two processes of which the first leads, and its row.
async fn led(off: i64) -> (Arc<Shelf>, Process, Process) {
    let shelf = Arc::new(Shelf::default());
    let (mut a, mut b) = (Process::new("a", &shelf, 0), Process::new("b", &shelf, off));
    a.step().await;
    b.step().await;
    assert!(a.leads() && !b.leads());
    (shelf, a, b)
}

/// Time goes on by so many seconds, in which both step each second.
async fn both(a: &mut Process, b: &mut Process, span: u64) {
    for _ in 0..span {
        pass(&[a, b], seconds(1));
        a.step().await;
        b.step().await;
    }
}

#[tokio::test]
async fn the_first_takes_what_nobody_holds() {
    let (shelf, a, b) = led(0).await;
    let term = a.term().unwrap();
    assert_eq!((term.number(), term.floor(), since(term.ceiling()), since(term.time())), (1, 0, 20.0, 0.0));
    let row = shelf.row();
    assert_eq!((row.holder.as_deref(), row.counter, row.fence), (Some("a"), 1, 1));
    assert_eq!((a.status(), b.status()), (Status::Ok, Status::Ok), "standing by is no trouble");
    assert_eq!((a.measured("leader"), a.measured("leader_terms"), b.measured("leader")), (1.0, 1.0, 0.0));
}

#[tokio::test]
async fn renewals_keep_it_and_reserve_more() {
    let (shelf, mut a, mut b) = led(0).await;
    let term = a.term().unwrap();
    both(&mut a, &mut b, 100).await;
    assert_eq!(a.term().as_ref(), Some(&term), "one term");
    assert_eq!((shelf.row().fence, shelf.row().counter), (1, 101));
    assert_eq!((since(term.ceiling()), since(term.time())), (120.0, 100.0));
    assert!(!b.leads());
}

#[tokio::test]
async fn what_is_not_reserved_is_not_admitted() {
    let (_, mut a, _) = led(0).await;
    let term = a.term().unwrap();
    assert_eq!(term.admits(START), Admission::Now);
    assert_eq!(term.admits(term.ceiling()), Admission::Now);
    assert_eq!(term.admits(term.ceiling() + 1), Admission::Later);
    // The wall clock of this machine was an hour behind.
    a.clock.advance(seconds(1));
    a.clock.step_wall(3_600_000_000_000);
    assert_eq!(term.admits(term.time()), Admission::Later);
    a.step().await;
    assert_eq!(term.admits(term.time()), Admission::Now);
    a.clock.advance(seconds(17));
    assert_eq!(term.admits(START), Admission::Never);
}

#[tokio::test]
async fn it_is_taken_over_after_standing_still_for_a_whole_lease_and_not_before() {
    let (shelf, a, mut b) = led(0).await;
    let term = a.term().unwrap();
    pass(&[&a, &b], seconds(16) - Duration::from_nanos(1));
    assert!(term.holds());
    pass(&[&a, &b], Duration::from_nanos(1));
    assert!(!term.holds() && !a.leads(), "it stops by its own clock, well before");
    pass(&[&a, &b], seconds(4) - Duration::from_nanos(1));
    let wait = b.step().await;
    assert!(!b.leads());
    assert_eq!(wait, Duration::from_nanos(1), "it looks again when the lease may be free");
    pass(&[&a, &b], wait);
    b.step().await;
    let next = b.term().unwrap();
    assert_eq!((next.number(), next.floor()), (2, term.ceiling()));
    assert!(next.time() > next.floor() && next.time() <= next.ceiling());
    assert_eq!(shelf.row().holder.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_counter_that_was_just_seen_for_the_first_time_counts_from_now() {
    let shelf = Arc::new(Shelf::default());
    let mut a = Process::new("a", &shelf, 0);
    a.step().await;
    let mut late = Process::new("late", &shelf, 0);
    late.clock.advance(seconds(1000));
    late.run(seconds(19)).await;
    assert!(!late.leads());
    late.run(seconds(2)).await;
    assert!(late.leads());
}

#[tokio::test]
async fn a_leader_that_dies_is_replaced_within_a_lease_and_an_interval() {
    for phase in 0..50 {
        let shelf = Arc::new(Shelf::default());
        let (mut a, mut b) = (Process::new("a", &shelf, 0), Process::new("b", &shelf, 0));
        a.step().await;
        b.run(Duration::from_millis(phase * 100)).await;
        let (pause, died) = (a.step().await, b.clock.now().mono);
        assert!(pause <= seconds(5));
        b.run(seconds(25)).await;
        assert!(b.leads() || b.clock.now().mono - died < seconds(25));
        b.step().await;
        assert!(b.leads(), "phase {phase}");
    }
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_counts_from_when_it_was_sent() {
    let (shelf, mut a, _) = led(0).await;
    let term = a.term().unwrap();
    a.clock.advance(seconds(5));
    shelf.script([Act::LoseAnswer]);
    a.step().await;
    assert!(matches!(a.status(), Status::Degraded(_)));
    a.clock.advance(seconds(2));
    a.step().await;
    assert_eq!((a.status(), shelf.row().counter), (Status::Ok, 2), "found in the row");
    a.clock.advance(seconds(14) - Duration::from_nanos(1));
    assert!(term.holds());
    a.clock.advance(Duration::from_nanos(1));
    assert!(!term.holds(), "16 s after it was sent");
}

#[tokio::test]
async fn a_renewal_after_some_that_failed_counts_from_its_own_sending() {
    let (shelf, mut a, _) = led(0).await;
    let term = a.term().unwrap();
    shelf.script([Act::Fail, Act::Fail]);
    for _ in 0..3 {
        a.clock.advance(seconds(5));
        a.step().await;
    }
    a.clock.advance(seconds(16) - Duration::from_nanos(1));
    assert!(term.holds());
}

#[tokio::test]
async fn a_takeover_whose_answer_was_lost_is_found_in_the_row() {
    let shelf = Arc::new(Shelf::default());
    let mut a = Process::new("a", &shelf, 0);
    shelf.script([Act::Answer, Act::LoseAnswer]);
    a.step().await;
    assert_eq!(a.term().unwrap().number(), 1);
    // And if the row cannot be read either, it is still ours at the next look.
    let mut b = Process::new("b", &shelf, 0);
    b.step().await;
    b.clock.advance(seconds(20));
    shelf.script([Act::Answer, Act::LoseAnswer, Act::Fail]);
    b.step().await;
    assert!(!b.leads());
    b.step().await;
    assert_eq!(b.term().unwrap().number(), 3);
}

#[tokio::test]
async fn without_the_table_a_leader_steps_down_and_nobody_takes_over_and_both_say_so() {
    let (shelf, mut a, mut b) = led(0).await;
    let term = a.term().unwrap();
    shelf.script(vec![Act::Fail; 1000]);
    both(&mut a, &mut b, 15).await;
    let Status::Degraded(words) = a.status() else { panic!("{:?}", a.status()) };
    assert!(words.contains("connection refused; this process steps down in 1.0s unless"), "{words}");
    both(&mut a, &mut b, 60).await;
    assert!(!a.leads() && !b.leads());
    assert_eq!((a.measured("leader"), a.measured("leader_terms")), (0.0, 1.0));
    for process in [&a, &b] {
        let Status::Degraded(words) = process.status() else { panic!("{:?}", process.status()) };
        assert!(words.contains("cannot take over until the table answers"), "{words}");
    }
    shelf.script([]);
    a.step().await;
    let again = a.term().unwrap();
    assert_eq!((again.number(), again.floor()), (2, term.ceiling()), "its own lease, in a term of its own");
    assert_eq!(a.status(), Status::Ok);
    b.step().await;
    assert_eq!((b.leads(), b.status()), (false, Status::Ok));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_waited_for_beyond_the_end_of_the_term() {
    let (shelf, mut a, _) = led(0).await;
    let (term, clock) = (a.term().unwrap(), a.clock.clone());
    clock.advance(seconds(15));
    shelf.script([Act::Hang]);
    let (pause, ()) = tokio::join!(a.step(), async {
        tokio::task::yield_now().await;
        clock.advance(seconds(1));
    });
    assert!(!term.holds());
    assert_eq!(pause, Duration::ZERO);
    a.step().await;
    assert_eq!(a.measured("leader"), 0.0);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_does_not_bring_a_term_back() {
    let (shelf, mut a, _) = led(0).await;
    let term = a.term().unwrap();
    a.clock.advance(seconds(15));
    *shelf.pause.lock().unwrap() = Some((a.clock.clone(), seconds(1)));
    a.step().await;
    assert_eq!(shelf.row().counter, 2, "the renewal took effect");
    assert!(!term.holds(), "and somebody may have seen the term end");
    a.step().await;
    a.step().await;
    assert!(!term.holds());
    let again = a.term().unwrap();
    assert_eq!(again.number(), 2);
    assert!(again.floor() >= term.ceiling());
}

#[tokio::test]
async fn a_process_that_was_paused_beyond_its_lease_knows_at_once() {
    let (_, mut a, mut b) = led(0).await;
    let term = a.term().unwrap();
    pass(&[&a, &b], seconds(21));
    b.step().await;
    assert!(b.leads());
    assert!(!term.holds(), "before its first step");
    a.step().await;
    a.step().await;
    assert!(!a.leads() && b.leads());
}

#[tokio::test]
async fn one_whose_clock_stood_still_too_can_only_add_older_timestamps_until_it_asks() {
    let (_, mut a, mut b) = led(0).await;
    let term = a.term().unwrap();
    b.clock.advance(seconds(21));
    b.step().await;
    let next = b.term().unwrap();
    assert!(term.holds() && next.holds(), "it cannot know");
    assert!(term.ceiling() <= next.floor() && term.time() < next.time());
    a.step().await;
    assert!(!term.holds());
    a.step().await;
    assert!(!a.leads());
}

#[tokio::test]
async fn clocks_that_are_five_minutes_apart_make_no_difference() {
    for off in [-300, 300] {
        let (_, mut a, mut b) = led(off).await;
        both(&mut a, &mut b, 30).await;
        let (term, last) = (a.term().unwrap(), a.term().unwrap().time());
        // a dies
        b.run(seconds(26)).await;
        let next = b.term().unwrap();
        assert!(next.floor() >= term.ceiling());
        let gap = since(next.time()) - since(last);
        assert!((20.0..=27.0).contains(&gap), "{off}: a gap of {gap} s");
        let mut before = next.time();
        for _ in 0..3200 {
            b.run(seconds(1)).await;
            let time = next.time();
            assert!((900_000_000..=1_100_000_000).contains(&(time - before)), "{off}: {}", time - before);
            assert!(time <= next.ceiling());
            before = time;
        }
        assert_eq!(next.time(), b.clock.now().unix_nanos, "{off}: it agrees with its own clock in the end");
        assert_eq!(b.term().as_ref(), Some(&next));
    }
}

#[tokio::test]
async fn clocks_that_nearly_agree_are_each_their_own() {
    let (_, mut a, mut b) = led(3).await;
    both(&mut a, &mut b, 30).await;
    b.run(seconds(26)).await;
    let now = b.clock.now().unix_nanos;
    assert_eq!(b.term().unwrap().time(), now);
}

#[tokio::test]
async fn a_leader_that_was_never_seen_says_nothing_about_time() {
    let shelf = Arc::new(Shelf::default());
    let mut a = Process::new("a", &shelf, 0);
    a.run(seconds(10)).await;
    // Both were down for an hour.
    let mut b = Process::new("b", &shelf, 3600);
    b.run(seconds(26)).await;
    assert_eq!(b.term().unwrap().time(), b.clock.now().unix_nanos);
}

#[tokio::test]
async fn its_own_next_term_goes_on_where_the_last_one_was() {
    let (shelf, mut a, mut b) = led(300).await;
    both(&mut a, &mut b, 10).await;
    b.run(seconds(26)).await;
    let first = b.term().unwrap();
    let before = first.time();
    shelf.script(vec![Act::Fail; 100]);
    b.run(seconds(20)).await;
    assert!(!b.leads());
    shelf.script([]);
    b.run(seconds(6)).await;
    let (second, passed) = (b.term().unwrap(), 30.0);
    assert_ne!(second, first);
    assert!(since(second.time()) - since(before) < passed, "no jump to its own clock: {}", since(second.time()));
    assert!(second.time() > first.ceiling());
}

#[tokio::test]
async fn one_that_stops_gives_the_lease_back() {
    let (shelf, mut a, mut b) = led(0).await;
    both(&mut a, &mut b, 7).await;
    let term = a.term().unwrap();
    a.elector.release().await;
    assert!(!term.holds() && !a.leads());
    let row = shelf.row();
    assert_eq!(
        (row.holder, row.reserved_until),
        (None, (START + 8_000_000_000) / 1_000_000),
        "a second beyond its line"
    );
    b.step().await;
    let next = b.term().unwrap();
    assert_eq!((next.number(), since(next.floor())), (2, 8.0));
    assert!(since(next.time()) <= 8.001);
}

#[tokio::test]
async fn a_release_finds_a_renewal_whose_answer_was_not_waited_for() {
    let (shelf, mut a, mut b) = led(0).await;
    a.clock.advance(seconds(5));
    shelf.script([Act::LoseAnswer]);
    a.step().await;
    a.elector.release().await;
    assert_eq!(shelf.row().holder, None);
    b.step().await;
    assert!(b.leads());
}

#[tokio::test]
async fn a_release_takes_nothing_from_somebody_else() {
    let (shelf, mut a, mut b) = led(0).await;
    b.clock.advance(seconds(21));
    b.step().await;
    a.elector.release().await;
    assert_eq!(shelf.row().holder.as_deref(), Some("b"));
    assert!(b.leads());
}

#[tokio::test]
async fn a_row_that_somebody_removes_ends_the_term() {
    let (shelf, mut a, _) = led(0).await;
    *shelf.row.lock().unwrap() = None;
    a.step().await;
    assert!(!a.leads());
    a.step().await;
    assert!(a.leads(), "and it may lead again");
}

#[tokio::test]
async fn a_poller_learns_of_every_change_and_of_an_end_by_the_clock() {
    let (_, mut a, _) = led(0).await;
    let (term, clock, office) = (a.term(), a.clock.clone(), Arc::clone(&a.office));
    assert_eq!(office.changed(None).await, term, "at once, if it is another one already");
    let (next, ()) = tokio::join!(office.changed(term.as_ref()), async {
        tokio::task::yield_now().await;
        clock.advance(seconds(10));
        a.step().await; // a renewal is no change
        clock.advance(seconds(10));
        tokio::task::yield_now().await;
        assert!(a.leads());
        clock.advance(seconds(6));
    });
    assert_eq!(next, None);
    let (next, ()) = tokio::join!(office.changed(None), async {
        a.step().await;
        a.step().await;
    });
    assert_eq!(next.map(|term| term.number()), Some(2));
}
