//! The journal over ends of every kind: orderly, torn, damaged, full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_primitives::Signature;
use pars_pool::{Journal, Replay};

const ROOM: u64 = 1 << 30;
const LARGEST: usize = 512 << 10;

fn transaction(nonce: u64, bytes: usize) -> TxEnvelope {
    let transaction = TxEip1559 {
        nonce,
        input: vec![7; bytes].into(),
        ..TxEip1559::default()
    };
    transaction.into_signed(Signature::test_signature()).into()
}

fn open(path: &Path) -> (Journal, Replay) {
    Journal::open(path, ROOM, LARGEST).unwrap()
}

fn with(path: &Path, count: u64) -> Vec<TxEnvelope> {
    let (mut journal, _) = open(path);
    let all: Vec<_> = (0..count)
        .map(|nonce| transaction(nonce, usize::try_from(nonce * 31).unwrap()))
        .collect();
    for one in &all {
        assert!(journal.append(one).unwrap());
    }
    assert_eq!(journal.bytes(), fs::metadata(path).unwrap().len());
    all
}

#[test]
fn what_was_appended_is_there_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let (_, nothing) = open(&path);
    assert!(nothing.transactions.is_empty() && nothing.damaged == 0);
    // Nobody closes it: what is appended is with the operating system.
    let all = with(&path, 20);
    for _ in 0..2 {
        let (_, replay) = open(&path);
        assert_eq!(replay.transactions, all);
        assert_eq!(replay.damaged, 0);
    }
}

#[test]
fn a_torn_tail_costs_its_record_and_the_next_append_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let all = with(&path, 6);
    let whole = fs::read(&path).unwrap();
    let before_last = {
        let shorter = folder.path().join("shorter");
        with(&shorter, 5);
        fs::metadata(&shorter).unwrap().len()
    };
    for end in before_last..whole.len() as u64 {
        fs::write(&path, &whole[..usize::try_from(end).unwrap()]).unwrap();
        let (mut journal, replay) = open(&path);
        assert_eq!(replay.transactions, all[..5], "{end}");
        assert_eq!(replay.damaged, usize::from(end > before_last), "{end}");
        assert!(journal.append(&all[5]).unwrap());
        assert_eq!(open(&path).1.transactions, all, "{end}");
    }
}

#[test]
fn every_damaged_byte_costs_little_and_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let all = with(&path, 4);
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x11;
        fs::write(&path, &damaged).unwrap();
        let (mut journal, replay) = open(&path);
        assert!(replay.damaged >= 1, "byte {place}");
        // Nothing that was not written is ever read.
        assert!(
            replay.transactions.iter().all(|one| all.contains(one)),
            "byte {place}"
        );
        if place < 16 {
            // No journal any more; put aside as it was.
            assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), damaged);
        }
        let count = replay.transactions.len();
        assert!(journal.append(&all[0]).unwrap());
        let again = open(&path).1;
        assert_eq!(again.transactions.len(), count + 1, "byte {place}");
        let _ = fs::remove_file(path.with_extension("damaged"));
    }
}

#[test]
fn a_flipped_byte_in_a_transaction_costs_that_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let all = with(&path, 5);
    let mut bytes = fs::read(&path).unwrap();
    // Inside the first transaction, behind the head of its record.
    bytes[16 + 12 + 5] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (_, replay) = open(&path);
    assert_eq!(replay.transactions, all[1..]);
    assert_eq!(replay.damaged, 1);
}

#[test]
fn it_is_written_anew_at_once_and_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let (mut journal, _) = open(&path);
    let large = transaction(0, 100_000);
    let mut rewritten = 0;
    for nonce in 0..100 {
        assert!(journal.append(&transaction(nonce, 100_000)).unwrap());
        if journal.is_stale() {
            journal.rewrite([&large]).unwrap();
            rewritten += 1;
        }
        assert!(journal.bytes() < 2 << 20, "{nonce}");
    }
    assert!(rewritten >= 8, "{rewritten}");
    assert!(!path.with_extension("new").exists());
    let all = open(&path).1.transactions;
    assert_eq!(all.first(), Some(&large));
    // And it goes on in the new file.
    let (mut journal, replay) = open(&path);
    journal.append(&transaction(1_000, 1)).unwrap();
    let count = replay.transactions.len();
    assert_eq!(open(&path).1.transactions.len(), count + 1);
}

#[test]
fn a_full_journal_takes_no_more_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let (mut journal, _) = Journal::open(&path, 1_000, LARGEST).unwrap();
    let taken = (0..20)
        .filter(|nonce| journal.append(&transaction(*nonce, 50)).unwrap())
        .count();
    assert!((3..10).contains(&taken), "{taken}");
    assert_eq!(journal.left_out(), 20 - taken as u64);
    assert!(journal.bytes() <= 1_000);
    let many: Vec<_> = (0..20).map(|nonce| transaction(nonce, 50)).collect();
    journal.rewrite(&many).unwrap();
    assert!(journal.bytes() <= 1_000);
    assert_eq!(open(&path).1.transactions, many[..taken]);
}

#[test]
fn lengths_that_cannot_be_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transactions.journal");
    let all = with(&path, 3);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0xff; 64]);
    fs::write(&path, &bytes).unwrap();
    let (_, replay) = open(&path);
    assert_eq!((replay.transactions, replay.damaged), (all, 1));
    // A transaction beyond the pool's bound ends it too.
    let (_, small) = Journal::open(&path, ROOM, 60).unwrap();
    assert!(small.transactions.len() < 3);
}

#[test]
fn a_folder_in_its_place_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = Journal::open(folder.path(), ROOM, LARGEST)
        .unwrap_err()
        .to_string();
    assert!(error.contains("pool.journal"), "{error}");
}
