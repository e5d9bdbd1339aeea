//! Bounds, quotas and the line for room.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::gate::{Bounds, Gate, Load, Refusal};
use crate::options::Priority;

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn gate(jobs: usize, bytes: usize) -> Gate {
    Gate::new(Bounds {
        jobs,
        bytes,
        work: u64::MAX,
        caller_jobs: usize::MAX,
    })
}

fn load(bytes: usize) -> Load {
    Load {
        bytes,
        ..Load::default()
    }
}

fn of(priority: Priority) -> Load {
    Load {
        priority,
        ..load(1)
    }
}

#[test]
fn bounds_hold_in_jobs_and_in_bytes() {
    let gate = gate(2, 100);
    assert_eq!(
        gate.admit(&load(101)),
        Err(Refusal::TooLarge {
            bytes: 101,
            limit: 100
        })
    );
    assert_eq!(gate.admit(&load(60)), Ok(()));
    assert!(matches!(gate.admit(&load(41)), Err(Refusal::Full(state)) if state.bytes == 60));
    assert_eq!(gate.admit(&load(40)), Ok(()));
    assert!(matches!(gate.admit(&load(0)), Err(Refusal::Full(state)) if state.jobs == 2));
    gate.release([load(60), load(40)]);
    assert_eq!(gate.admit_some([50, 50, 1].map(load).into_iter()), 2);
    assert_eq!(gate.state().peak_bytes, 100);
}

#[test]
fn bound_holds_in_work_but_lets_one_job_through() {
    let gate = Gate::new(Bounds {
        jobs: 10,
        bytes: 10,
        work: 100,
        caller_jobs: 10,
    });
    let work = |work| Load { work, ..load(1) };
    assert_eq!(gate.admit(&work(101)), Ok(()));
    assert!(matches!(gate.admit(&work(0)), Err(Refusal::Full(_))));
    gate.release([work(101)]);
    assert_eq!(gate.admit_some([60, 40, 1].map(work).into_iter()), 2);
    assert_eq!(gate.state().work, Duration::from_nanos(100));
    gate.shrink(1, 40);
    assert_eq!(gate.admit(&work(40)), Ok(()));
}

#[test]
fn a_caller_keeps_to_its_quota_and_holds_nobody_up() {
    let gate = Gate::new(Bounds {
        jobs: 4,
        bytes: 10,
        work: u64::MAX,
        caller_jobs: 1,
    });
    let named = |caller| Load {
        caller: Some(caller),
        ..load(1)
    };
    assert_eq!(gate.admit(&named(7)), Ok(()));
    let quota = Refusal::Quota {
        caller: 7,
        jobs: 1,
        limit: 1,
    };
    assert_eq!(gate.admit(&named(7)), Err(quota));
    let seven = named(7);
    let mut waiting = pin!(gate.admit_in_turn(&seven, None));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(gate.admit(&named(8)), Ok(()));
    assert_eq!(gate.admit(&load(1)), Ok(()));
    assert_eq!(
        gate.admit(&of(Priority::Pool)),
        Err(Refusal::Full(gate.state()))
    );
    gate.release([named(8)]);
    assert!(poll(waiting.as_mut()).is_pending());
    gate.release([named(7)]);
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn earlier_classes_are_let_in_first() {
    let gate = gate(4, 100);
    let [vote, block, gossip] = Priority::ALL.map(of);
    assert_eq!(
        gate.admit_some([gossip; 4].into_iter()),
        3,
        "a quarter is kept"
    );
    assert_eq!(gate.admit_some([block, block].into_iter()), 1);
    let mut gossip_waits = pin!(gate.admit_in_turn(&gossip, None));
    let mut block_waits = pin!(gate.admit_in_turn(&block, None));
    let mut vote_waits = pin!(gate.admit_in_turn(&vote, None));
    assert!(poll(gossip_waits.as_mut()).is_pending());
    assert!(poll(block_waits.as_mut()).is_pending());
    assert!(poll(vote_waits.as_mut()).is_pending());
    gate.release([gossip]);
    assert!(
        matches!(gate.admit(&block), Err(Refusal::Full(_))),
        "no barging"
    );
    assert!(poll(block_waits.as_mut()).is_pending());
    assert_eq!(poll(vote_waits.as_mut()), Poll::Ready(Ok(())));
    gate.release([gossip]);
    assert_eq!(poll(block_waits.as_mut()), Poll::Ready(Ok(())));
    gate.release([gossip, block]);
    assert_eq!(poll(gossip_waits.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(gate.state().waiting, 0);
}

#[test]
fn whoever_waits_past_the_deadline_is_told() {
    let gate = gate(1, 10);
    let one = load(1);
    gate.admit(&one).unwrap();
    let soon = Instant::now() + Duration::from_millis(100);
    let mut waiting = pin!(gate.admit_in_turn(&one, Some(soon)));
    assert!(poll(waiting.as_mut()).is_pending());
    std::thread::sleep(Duration::from_millis(110));
    gate.release([one]);
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err(Refusal::Late)));
    assert_eq!(gate.state().jobs, 0);
}

#[test]
fn line_is_served_in_order_and_leavers_pass_the_call_on() {
    let gate = gate(1, 10);
    let one = load(1);
    gate.admit(&one).unwrap();
    let mut second = pin!(gate.admit_in_turn(&one, None));
    let mut fourth = pin!(gate.admit_in_turn(&one, None));
    {
        // Called and then dropped before it came back: the call must not be lost.
        let mut first = pin!(gate.admit_in_turn(&one, None));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(fourth.as_mut()).is_pending());
        assert_eq!(gate.state().waiting, 3);
        gate.release([one]);
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
        assert!(poll(first.as_mut()).is_pending());
        gate.release([one]);
    }
    assert_eq!(poll(fourth.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(gate.state().waiting, 0);
}

#[test]
fn closing_sends_the_line_away() {
    let gate = gate(1, 10);
    let one = load(1);
    gate.admit(&one).unwrap();
    let mut waiting = pin!(gate.admit_in_turn(&one, None));
    assert!(poll(waiting.as_mut()).is_pending());
    gate.close();
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err(Refusal::Closed)));
    assert!(!gate.wait_empty(Duration::from_millis(5)));
    gate.release([one]);
    assert!(gate.wait_empty(Duration::from_millis(5)));
}
