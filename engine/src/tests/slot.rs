//! Where an answer is left.

use std::time::{Duration, Instant};

use crate::gate::Load;
use crate::options::Priority;
use crate::sheaf::Sheaf;
use crate::slot::{Slot, Terms};

#[test]
fn a_claim_is_kept_in_few_bytes() {
    let now = Instant::now();
    let load = Load {
        caller: Some(0),
        priority: Priority::Pool,
        ..Load::default()
    };
    let terms = Terms::new(now, Some(now + Duration::from_micros(7)), &load);
    assert_eq!(terms.deadline(), Some(now + Duration::from_micros(7)));
    assert_eq!(
        (terms.caller(), terms.priority()),
        (Some(0), Priority::Pool)
    );
    // A deadline that has passed stays one.
    let terms = Terms::new(now, now.checked_sub(Duration::from_secs(1)), &load);
    assert!(terms.deadline().is_some_and(|deadline| deadline > now));
    let terms = Terms::new(now, None, &Load::default());
    assert_eq!((terms.deadline(), terms.caller()), (None, None));
}

#[test]
fn the_first_answer_counts_and_is_taken_once() {
    let slot = Slot::new(Terms::new(Instant::now(), None, &Load::default()));
    assert!(slot.is_open() && slot.take().is_none());
    slot.fill(1);
    slot.fill(2);
    assert!(!slot.is_open());
    assert_eq!((slot.take(), slot.take()), (Some(1), None));
    slot.fill(3);
    assert_eq!(slot.take(), None);
}

#[test]
fn a_sheaf_is_full_when_every_place_has_its_first_answer() {
    let terms = Terms::new(Instant::now(), None, &Load::default());
    let sheaf: Sheaf<u8> = Sheaf::new(terms, 4);
    let ids: std::collections::BTreeSet<_> = (0..4).map(|index| sheaf.id(index)).collect();
    assert_eq!(ids.len(), 4);
    sheaf.fill([(2, 20), (0, 0), (2, 21)]);
    assert_eq!((sheaf.is_full(), sheaf.open()), (false, vec![1, 3]));
    sheaf.fill([(1, 10), (3, 30), (9, 90)]);
    assert_eq!((sheaf.is_full(), sheaf.open()), (true, vec![]));
    assert_eq!(*sheaf.take(), [0, 10, 20, 30].map(Some));
    sheaf.fill([(0, 1)]);
    assert!(sheaf.is_full() && sheaf.take().is_empty());
}
