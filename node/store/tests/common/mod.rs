//! A chain of made-up blocks whose state changes go through revm's own `State`, beside a
//! naive model of what the state must be.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod redb;

use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, SignableTransaction, TxEip1559, TxEnvelope,
    TxLegacy, TxReceipt as _, TxType,
    proofs::{calculate_receipt_root, calculate_transaction_root},
};
use alloy_primitives::{
    Address, B256, Bloom, Bytes, KECCAK256_EMPTY, Log, LogData, Signature, TxKind, U256, keccak256,
};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieAccount,
    proof::verify_proof,
    root::{state_root_unhashed, storage_root_unhashed},
};
use pars_store::{
    AccountProof, Block, BlockCommit, BlockState, Changes, Genesis, GenesisAccount, StateDiff,
    Store,
};
use proptest::prelude::*;
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    database::{BundleState, State, states::bundle_state::BundleRetention},
    state::{Account, AccountInfo, EvmStorageSlot},
};
use std::{collections::BTreeMap, sync::Arc};

/// An account of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytes,
    pub storage: BTreeMap<U256, U256>,
}

impl Plain {
    fn code_hash(&self) -> B256 {
        if self.code.is_empty() {
            KECCAK256_EMPTY
        } else {
            keccak256(&self.code)
        }
    }

    fn info(&self) -> AccountInfo {
        AccountInfo {
            balance: self.balance,
            nonce: self.nonce,
            code_hash: self.code_hash(),
            account_id: None,
            code: Some(Bytecode::new_raw(self.code.clone())),
        }
    }

    pub fn trie_account(&self) -> TrieAccount {
        TrieAccount {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: storage_root_unhashed(
                self.storage
                    .iter()
                    .map(|(slot, value)| (B256::from(*slot), *value)),
            ),
            code_hash: self.code_hash(),
        }
    }
}

/// The state, as a map.
pub type Model = BTreeMap<Address, Plain>;

/// The root of the model by the library's full computation.
pub fn model_root(model: &Model) -> B256 {
    state_root_unhashed(model.iter().map(|(a, p)| (*a, p.trie_account())))
}

/// What one transaction does to one of a few accounts.
#[derive(Clone, Debug)]
pub enum Op {
    /// Receives money, and comes into being with it.
    Pay(u8, u64),
    /// Sends: the nonce goes up.
    Send(u8),
    /// Is touched and not changed; an empty account disappears.
    Touch(u8),
    /// Gives up nonce and balance; without code it disappears with its storage.
    Drain(u8),
    /// A contract is made, with code and storage.
    Create(u8, u8, Vec<(u8, u8)>),
    /// A contract writes slots; zero clears.
    Write(u8, Vec<(u8, u8)>),
    /// A contract destroys itself, with storage that may be older than the block.
    Destroy(u8),
    /// EIP-7702: an account without code of its own points to another's, or to none.
    Delegate(u8, Option<u8>),
}

pub const ACCOUNTS: u8 = 8;

pub fn op() -> impl Strategy<Value = Op> {
    let account = 0..ACCOUNTS;
    let writes = prop::collection::vec((0u8..12, 0u8..3), 0..8);
    prop_oneof![
        3 => (account.clone(), 1u64..1000).prop_map(|(a, v)| Op::Pay(a, v)),
        1 => account.clone().prop_map(Op::Send),
        1 => account.clone().prop_map(Op::Touch),
        1 => account.clone().prop_map(Op::Drain),
        4 => (account.clone(), 0u8..3, writes.clone()).prop_map(|(a, c, w)| Op::Create(a, c, w)),
        6 => (account.clone(), writes).prop_map(|(a, w)| Op::Write(a, w)),
        2 => account.clone().prop_map(Op::Destroy),
        1 => (account.clone(), prop::option::of(account)).prop_map(|(a, to)| Op::Delegate(a, to)),
    ]
}

pub fn address(n: u8) -> Address {
    Address::repeat_byte(n + 1)
}

/// Slots that lie apart and side by side.
fn slot(n: u8) -> U256 {
    if n.is_multiple_of(2) {
        U256::from(n)
    } else {
        U256::MAX - U256::from(n)
    }
}

fn code(n: u8) -> Bytes {
    Bytes::from(vec![n; 3 + usize::from(n) * 40])
}

fn is_contract(plain: &Plain) -> bool {
    !plain.code.is_empty() && !plain.code.starts_with(&[0xef, 0x01])
}

impl Op {
    /// Applies the operation to the model; the account as the EVM would hand it over for
    /// commit, if the operation makes sense there.
    fn apply(&self, model: &mut Model, state: &mut impl Database) -> Option<(Address, Account)> {
        let n = match self {
            Self::Pay(n, _) | Self::Send(n) | Self::Touch(n) | Self::Drain(n) => n,
            Self::Create(n, ..) | Self::Write(n, _) | Self::Destroy(n) => n,
            Self::Delegate(n, _) => n,
        };
        let address = address(*n);
        // The EVM reads what it changes.
        let loaded = state.basic(address).unwrap();
        assert_eq!(
            loaded.is_some(),
            model.contains_key(&address),
            "{address} before {self:?}"
        );
        let before = model.get(&address).cloned();
        let mut plain = before.clone().unwrap_or_default();
        let mut account = Account::default().with_touched_mark();
        let mut written = Vec::new();
        match self {
            Self::Pay(_, amount) => plain.balance += U256::from(*amount),
            Self::Send(_) => plain.nonce += 1,
            Self::Touch(_) => {}
            Self::Drain(_) => (plain.nonce, plain.balance) = (0, U256::ZERO),
            Self::Create(_, code_number, writes) => {
                if plain.nonce != 0 || !plain.code.is_empty() || !plain.storage.is_empty() {
                    return None;
                }
                plain.nonce = 1;
                plain.code = code(*code_number);
                account.mark_created();
                written.clone_from(writes);
            }
            Self::Write(_, writes) => {
                if plain.code.is_empty() {
                    return None;
                }
                written.clone_from(writes);
            }
            Self::Destroy(_) => {
                if !is_contract(&plain) {
                    return None;
                }
                plain = Plain::default();
                account.mark_selfdestruct();
            }
            Self::Delegate(_, to) => {
                if is_contract(&plain) {
                    return None;
                }
                plain.nonce += 1;
                plain.code = to.map_or(Bytes::new(), |to| {
                    let target = Bytecode::new_eip7702(self::address(to));
                    target.original_bytes()
                });
            }
        }
        let mut slots: BTreeMap<U256, EvmStorageSlot> = BTreeMap::new();
        for (at, value) in written {
            let (at, value) = (slot(at), U256::from(value));
            let original = state.storage(address, at).unwrap();
            let before = before.as_ref().and_then(|p| p.storage.get(&at));
            assert_eq!(original, before.copied().unwrap_or_default());
            let entry = EvmStorageSlot::new_changed(original, value, Default::default());
            slots.insert(at, entry);
            if value.is_zero() {
                plain.storage.remove(&at);
            } else {
                plain.storage.insert(at, value);
            }
        }
        let empty = plain.nonce == 0 && plain.balance.is_zero() && plain.code.is_empty();
        if empty {
            model.remove(&address);
        } else {
            model.insert(address, plain.clone());
        }
        account = account
            .with_info(plain.info())
            .with_storage(slots.into_iter());
        Some((address, account))
    }
}

/// Executes one block of operations on the head of `store`, as the node does. Whoever follows it sees the same.
pub fn execute_block(store: &Store, model: &mut Model, ops: &[Op]) -> StateDiff {
    let tip = store.tip().unwrap();
    let (mut state, mut follower) = (tip.block_state(), tip.block_state());
    let changes = Arc::<Changes>::default();
    state.tell(Arc::clone(&changes));
    for (n, op) in ops.iter().enumerate() {
        if let Some((address, account)) = op.apply(model, &mut state) {
            let mut changes = [(address, account)].into_iter();
            if n % 2 == 0 {
                state.commit(changes.collect());
            } else {
                state.commit_iter(&mut changes);
            }
        }
        if n % 3 == 0 {
            follow(&changes, &mut state, &mut follower);
        }
    }
    follow(&changes, &mut state, &mut follower);
    changes.close();
    state.commit_iter(&mut [(Address::ZERO, Account::default())].into_iter());
    assert!(changes.take().is_empty(), "nobody follows any more");
    state.diff()
}

/// Takes what was changed over, after which the two are the same there.
fn follow(changes: &Changes, state: &mut BlockState, follower: &mut BlockState) {
    let changed = changes.take();
    for (address, account) in changed.iter().flatten() {
        follower.apply(*address, account);
    }
    for (address, account) in changed.iter().flatten() {
        assert_eq!(
            follower.basic(*address).unwrap(),
            state.basic(*address).unwrap()
        );
        for slot in account.storage.keys() {
            let values = [&mut *follower, &mut *state].map(|one| one.storage(*address, *slot));
            let [followed, value] = values.map(Result::unwrap);
            assert_eq!(followed, value);
        }
    }
}

/// Executes one block of operations on the head of `store` by revm's own state.
pub fn execute(store: &Store, model: &mut Model, ops: &[Op]) -> BundleState {
    let mut state = State::builder()
        .with_database_ref(store.head_state().unwrap())
        .with_bundle_update()
        .build();
    for op in ops {
        if let Some((address, account)) = op.apply(model, &mut state) {
            state.commit([(address, account)].into_iter().collect());
        }
    }
    state.merge_transitions(BundleRetention::Reverts);
    state.take_bundle()
}

/// A few transactions and receipts that depend on `seed`.
pub fn transactions(
    seed: u64,
    count: usize,
) -> (Vec<TxEnvelope>, Vec<Address>, Vec<ReceiptEnvelope>) {
    let mut transactions = Vec::new();
    let mut senders = Vec::new();
    let mut receipts = Vec::new();
    for n in 0..count as u64 {
        let nonce = seed * 1000 + n;
        let (transaction, kind): (TxEnvelope, _) = if n.is_multiple_of(2) {
            let tx = TxLegacy {
                chain_id: Some(6133),
                nonce,
                to: TxKind::Create,
                input: vec![1; 40].into(),
                ..Default::default()
            };
            (
                tx.into_signed(Signature::test_signature()).into(),
                TxType::Legacy,
            )
        } else {
            let tx = TxEip1559 {
                chain_id: 6133,
                nonce,
                to: TxKind::Call(address(3)),
                value: U256::from(n),
                ..Default::default()
            };
            (
                tx.into_signed(Signature::test_signature()).into(),
                TxType::Eip1559,
            )
        };
        let logs = (0..n)
            .map(|i| Log {
                address: address(1),
                data: LogData::new_unchecked(
                    vec![B256::with_last_byte(i as u8)],
                    vec![7; 33].into(),
                ),
            })
            .collect();
        let receipt = Receipt {
            status: Eip658Value::Eip658(!n.is_multiple_of(3)),
            cumulative_gas_used: 21_000 * (n + 1),
            logs,
        };
        transactions.push(transaction);
        senders.push(address(n as u8));
        receipts.push(ReceiptEnvelope::from_typed(kind, receipt.with_bloom()));
    }
    (transactions, senders, receipts)
}

/// A commit of `state` on the head with `count` transactions.
pub fn commit_of(store: &Store, state: impl Into<StateDiff>, count: usize) -> BlockCommit {
    let state = state.into();
    let (root, tries) = store.state_root(&state).unwrap();
    let head = store.head();
    let number = head.number + 1;
    let (transactions, senders, receipts) = transactions(number, count);
    let header = Header {
        parent_hash: head.hash,
        number,
        state_root: root,
        transactions_root: calculate_transaction_root(&transactions),
        receipts_root: calculate_receipt_root(&receipts),
        logs_bloom: receipts
            .iter()
            .fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom()),
        gas_used: 21_000 * count as u64,
        timestamp: number,
        gas_limit: 15_000_000,
        base_fee_per_gas: Some(7),
        ..Default::default()
    };
    BlockCommit {
        block: Block::seal(header, transactions, senders),
        receipts,
        state,
        tries,
    }
}

/// Genesis accounts: one rich, one empty, one contract with storage.
pub fn genesis_model() -> Model {
    let mut model = Model::new();
    let mut put = |n: u8, plain: Plain| model.insert(address(n), plain);
    put(
        0,
        Plain {
            balance: U256::from(1_000_000u64),
            ..Default::default()
        },
    );
    put(1, Plain::default());
    put(
        2,
        Plain {
            nonce: 1,
            code: code(2),
            storage: (0..10)
                .map(|n| (slot(n), U256::from(n) + U256::ONE))
                .collect(),
            ..Default::default()
        },
    );
    model
}

/// A genesis with these accounts.
pub fn genesis_of(model: &Model) -> Genesis {
    let accounts: Vec<_> = model
        .iter()
        .map(|(address, plain)| {
            let account = GenesisAccount {
                nonce: plain.nonce,
                balance: plain.balance,
                code: plain.code.clone(),
                storage: plain
                    .storage
                    .iter()
                    .map(|(slot, value)| (B256::from(*slot), *value))
                    .collect(),
            };
            (*address, account)
        })
        .collect();
    Genesis {
        chain_id: 6133,
        spec_hash: B256::repeat_byte(0x61),
        header: Header {
            state_root: model_root(model),
            gas_limit: 15_000_000,
            ..Default::default()
        },
        accounts,
    }
}

/// Compares every account and slot of the state after block `number` with the model.
pub fn check_state(store: &Store, number: u64, model: &Model) {
    let view = store.state(number).unwrap();
    for n in 0..ACCOUNTS {
        let address = address(n);
        let plain = model.get(&address);
        let account = view.account(&address).unwrap();
        assert_eq!(
            account,
            plain.map(Plain::trie_account),
            "{address} after {number}"
        );
        let code = plain.map(|p| p.code.clone()).unwrap_or_default();
        assert_eq!(
            view.code_of(&address).unwrap(),
            code,
            "{address} after {number}"
        );
        for at in 0..14 {
            let wanted = plain.and_then(|p| p.storage.get(&slot(at)).copied());
            let got = view.storage(&address, &slot(at)).unwrap();
            assert_eq!(
                got,
                wanted.unwrap_or_default(),
                "{address} {at} after {number}"
            );
        }
    }
}

/// Proves every account and slot of the model, and some that are not there, and checks the proofs
/// against the root of the model, which owes nothing to the store.
pub fn check_proofs(model: &Model, prove: impl Fn(&Address, &[U256]) -> AccountProof) {
    let root = model_root(model);
    let nobody = Address::repeat_byte(0xee);
    for address in model.keys().copied().chain([nobody]) {
        let plain = model.get(&address);
        let account = plain.map(Plain::trie_account);
        let storage = plain.map(|plain| plain.storage.clone()).unwrap_or_default();
        let slots: Vec<U256> = storage.keys().copied().chain([U256::MAX]).collect();
        let proof = prove(&address, &slots);
        assert_eq!(proof.account, account);
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(root, key, account.map(alloy_rlp::encode), &proof.nodes).unwrap();
        let storage_root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        for (slot, proven) in slots.iter().zip(&proof.slots) {
            let value = storage.get(slot).copied().unwrap_or_default();
            assert_eq!((proven.slot, proven.value), (*slot, value));
            let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            let expected = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            verify_proof(storage_root, key, expected, &proven.nodes).unwrap();
        }
    }
}
