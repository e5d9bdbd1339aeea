//! Where an answer is left.

use std::time::{Duration, Instant};

use crate::gate::Load;
use crate::options::Priority;
use crate::slot::Slot;

#[test]
fn a_claim_is_kept_in_few_bytes() {
    let now = Instant::now();
    let load = Load {
        caller: Some(0),
        priority: Priority::Pool,
        ..Load::default()
    };
    let slot: Slot<u8> = Slot::new(now, Some(now + Duration::from_micros(7)), &load);
    assert_eq!(slot.deadline(), Some(now + Duration::from_micros(7)));
    assert_eq!((slot.caller(), slot.priority()), (Some(0), Priority::Pool));
    // A deadline that has passed stays one.
    let slot: Slot<u8> = Slot::new(now, now.checked_sub(Duration::from_secs(1)), &load);
    assert!(slot.deadline().is_some_and(|deadline| deadline > now));
    let slot: Slot<u8> = Slot::new(now, None, &Load::default());
    assert_eq!((slot.deadline(), slot.caller()), (None, None));
}

#[test]
fn the_first_answer_counts_and_is_taken_once() {
    let slot = Slot::new(Instant::now(), None, &Load::default());
    assert!(slot.is_open() && slot.take().is_none());
    slot.fill(1);
    slot.fill(2);
    assert!(!slot.is_open());
    assert_eq!((slot.take(), slot.take()), (Some(1), None));
    slot.fill(3);
    assert_eq!(slot.take(), None);
}
