//! Chains of the time before the merge: difficulty, uncles, the DAO's fork, the oldest signatures.

use std::sync::Arc;

use alloy_consensus::{
    Header, SignableTransaction as _, Transaction as _, TxEnvelope, TxLegacy,
    proofs::calculate_ommers_root,
};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, Signature, U256, address, uint};
use pars_engine::{Engine, GpuPolicy};
use pars_evm::{
    BlockAttributes, ChainSpec, Executor, HeaderError, OmmerError, VerifyError, decode_transaction,
};
use pars_store::{Block, Store};

use crate::chain::Account;

/// One of those that the DAO's fork took from, and where to (EIP-779).
const DAO_ACCOUNT: Address = address!("d4fe7bc31cedb7bfb8a345f31e668033056b2728");
const DAO_BENEFICIARY: Address = address!("bf4ed7b27f1d666546e30d74d50d173d20bca754");

/// Order of secp256k1's group.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

struct Chain {
    executor: Executor,
    store: Store,
}

impl Chain {
    fn new(config: ChainConfig) -> Self {
        let account = GenesisAccount::default().with_balance(U256::from(7));
        let mut genesis = Genesis::default()
            .with_gas_limit(10_000_000)
            .extend_accounts([(DAO_ACCOUNT, account)]);
        genesis.difficulty = U256::from(131_072);
        genesis.config = config;
        let spec = Arc::new(ChainSpec::from_genesis(&genesis).unwrap());
        let engine = Engine::builder().gpu(GpuPolicy::Off).build().unwrap();
        Self {
            store: Store::in_memory(&spec.genesis()).unwrap(),
            executor: Executor::new(spec, engine),
        }
    }

    /// The next block, empty.
    fn build(&self, extra_data: &'static str) -> Block {
        let attributes = BlockAttributes {
            timestamp: self.store.head().header.timestamp + 5,
            beneficiary: Address::repeat_byte(0xbe),
            prev_randao: B256::ZERO,
            parent_beacon_block_root: B256::ZERO,
            extra_data: Bytes::from_static(extra_data.as_bytes()),
            withdrawals: Default::default(),
            time_budget: std::time::Duration::from_secs(5),
        };
        let built = self.executor.build(&self.store, Vec::new(), attributes);
        built.unwrap().commit.block
    }

    fn take(&self, block: &Block) {
        let executed = self.executor.verify(&self.store, block).unwrap();
        self.store.commit(executed.commit).unwrap();
    }

    fn refusal(&self, block: &Block) -> VerifyError {
        self.executor.verify(&self.store, block).unwrap_err()
    }

    fn balance(&self, address: Address) -> U256 {
        let state = self.store.head_state().unwrap();
        let account = state.account(&address).unwrap();
        account.map_or(U256::ZERO, |account| account.balance)
    }
}

fn homestead() -> ChainConfig {
    ChainConfig {
        homestead_block: Some(0),
        ..ChainConfig::default()
    }
}

fn sealed(block: Block, change: impl FnOnce(&mut Header)) -> Block {
    let mut header = block.header;
    change(&mut header);
    Block {
        hash: header.hash_slow(),
        header,
        ..block
    }
}

/// A block with other uncles than it was built with; its state root is not theirs.
fn with_ommers(block: Block, ommers: Vec<Header>) -> Block {
    let root = calculate_ommers_root(&ommers);
    Block {
        ommers,
        ..sealed(block, |header| header.ommers_hash = root)
    }
}

#[test]
fn a_blocks_difficulty_is_what_its_parent_makes_it() {
    let chain = Chain::new(homestead());
    chain.take(&chain.build(""));
    let block = chain.build("");
    assert_eq!(block.header.difficulty, U256::from(131_072 + 2 * 64));
    let wrong = sealed(block.clone(), |header| header.difficulty += U256::from(1));
    let refusal = chain.refusal(&wrong);
    assert!(
        matches!(refusal, VerifyError::Header(HeaderError::Work { expected, .. })
            if expected == block.header.difficulty),
        "{refusal}"
    );
    chain.take(&block);
}

#[test]
fn uncles_are_new_children_of_recent_ancestors() {
    let chain = Chain::new(homestead());
    let mut blocks = Vec::new();
    for _ in 0..8 {
        let block = chain.build("");
        chain.take(&block);
        blocks.push(block.header);
    }
    let brother = |number: usize| Header {
        extra_data: Bytes::from_static(b"brother"),
        ..blocks[number - 1].clone()
    };
    // Block 9 may have children of blocks 2 to 7 as uncles: blocks 3 to 8.
    for (ommers, expected) in [
        (vec![brother(8)], None),
        (vec![brother(8), brother(3)], None),
        (
            vec![brother(8), brother(8)],
            Some((
                1,
                OmmerError::Repeated {
                    hash: brother(8).hash_slow(),
                },
            )),
        ),
        (
            vec![blocks[6].clone()],
            Some((
                0,
                OmmerError::Ancestor {
                    hash: blocks[6].hash_slow(),
                },
            )),
        ),
        (
            vec![brother(2)],
            Some((
                0,
                OmmerError::Unrelated {
                    parent: brother(2).parent_hash,
                },
            )),
        ),
        // A child of the parent.
        (
            vec![Header {
                extra_data: Bytes::from_static(b"x"),
                ..chain.build("").header
            }],
            Some((
                0,
                OmmerError::Unrelated {
                    parent: blocks[7].hash_slow(),
                },
            )),
        ),
        (
            vec![Header {
                gas_limit: 1,
                ..brother(8)
            }],
            Some((
                0,
                OmmerError::Header(HeaderError::GasLimit {
                    got: 1,
                    parent: blocks[6].gas_limit,
                    step: blocks[6].gas_limit / 1024,
                }),
            )),
        ),
    ] {
        let block = with_ommers(chain.build(""), ommers);
        match (chain.refusal(&block), expected) {
            (VerifyError::Ommer { index, reason }, Some(expected)) => {
                assert_eq!((index, reason), expected);
            }
            // Rewards are another matter: the root is that of a block without uncles.
            (VerifyError::StateRoot { .. }, None) => {}
            (refusal, expected) => panic!("{refusal}, not {expected:?}"),
        }
    }
    // With its rewards: 5 ether and 1/32 for the block, 7/8 for the uncle (block 8 in block 9).
    let before = chain.balance(Address::repeat_byte(0xbe));
    let block = with_ommers(chain.build(""), vec![brother(8)]);
    let VerifyError::StateRoot { expected, .. } = chain.refusal(&block) else {
        panic!()
    };
    chain.take(&sealed(block, |header| header.state_root = expected));
    let ether = 1_000_000_000_000_000_000_u64;
    assert_eq!(
        chain.balance(Address::repeat_byte(0xbe)) - before,
        U256::from(5 * ether) + U256::from(5 * ether / 32) + U256::from(5 * ether / 8 * 7)
    );
    // Each counts once.
    let again = with_ommers(chain.build(""), vec![brother(8)]);
    let refusal = chain.refusal(&again);
    let repeated = matches!(
        refusal,
        VerifyError::Ommer {
            reason: OmmerError::Repeated { .. },
            ..
        }
    );
    assert!(repeated, "{refusal}");
}

#[test]
fn the_daos_fork_marks_its_blocks_and_moves_what_the_dao_had() {
    let chain = Chain::new(ChainConfig {
        dao_fork_block: Some(2),
        dao_fork_support: true,
        ..homestead()
    });
    chain.take(&chain.build(""));
    assert_eq!(chain.balance(DAO_ACCOUNT), U256::from(7));
    let refusal = chain.refusal(&chain.build("dao"));
    assert!(
        matches!(refusal, VerifyError::Header(HeaderError::DaoMark { .. })),
        "{refusal}"
    );
    for _ in 2..12 {
        chain.take(&chain.build("dao-hard-fork"));
        assert_eq!(chain.balance(DAO_ACCOUNT), U256::ZERO);
        assert_eq!(chain.balance(DAO_BENEFICIARY), U256::from(7));
    }
    // It has nothing, but is there: EIP-161 is not yet.
    let state = chain.store.head_state().unwrap();
    assert!(state.account(&DAO_ACCOUNT).unwrap().is_some());
    // Block 12 is not marked any more.
    chain.take(&chain.build(""));
    chain.store.verify_state().unwrap();
}

#[test]
fn a_genesis_file_without_support_does_not_go_with_the_daos_fork() {
    let chain = Chain::new(ChainConfig {
        dao_fork_block: Some(1),
        dao_fork_support: false,
        ..homestead()
    });
    chain.take(&chain.build(""));
    assert_eq!(chain.balance(DAO_ACCOUNT), U256::from(7));
}

#[test]
fn signatures_follow_the_rules_of_their_fork() {
    let account = Account::new(9);
    let transaction = |chain_id| -> TxEnvelope {
        let transaction = TxLegacy {
            chain_id,
            gas_limit: 21_000,
            ..TxLegacy::default()
        };
        account.sign(transaction).into_inner()
    };
    let (bare, named) = (transaction(None), transaction(Some(1)));
    // The same signature with the other s.
    let high = {
        let signature = bare.signature();
        let other = Signature::new(signature.r(), ORDER - signature.s(), !signature.v());
        let TxEnvelope::Legacy(signed) = &bare else {
            panic!()
        };
        TxEnvelope::from(signed.tx().clone().into_signed(other))
    };
    let spurious = ChainConfig {
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        ..homestead()
    };
    for (config, good) in [
        (ChainConfig::default(), [true, true, false]),
        (homestead(), [true, false, false]),
        (spurious, [true, false, true]),
    ] {
        let chain = Chain::new(config);
        let header = Header {
            number: 1,
            ..Header::default()
        };
        for (transaction, good) in [&bare, &high, &named].into_iter().zip(good) {
            let found = chain
                .executor
                .senders_of(&header, std::slice::from_ref(transaction));
            match found {
                Ok(senders) => assert!(good && senders == [account.address], "{transaction:?}"),
                Err(error) => assert!(!good && error.index == 0, "{error}"),
            }
        }
    }
    assert_eq!(named.chain_id(), Some(1));
    let bytes = alloy_eips::eip2718::Encodable2718::encoded_2718(&high);
    assert_eq!(decode_transaction(&bytes).unwrap(), high);
}
