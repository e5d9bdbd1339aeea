//! A chain in memory with funded senders.

use std::{sync::Arc, time::Duration};

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy,
    transaction::Recovered,
};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use k256::ecdsa::SigningKey;
use pars_engine::{Engine, GpuPolicy};
use pars_evm::{BlockAttributes, ChainSpec, Executed, Executor, ExecutorConfig};
use pars_store::Store;

/// A sender.
pub struct Account {
    key: SigningKey,
    pub address: Address,
    pub nonce: u64,
}

impl Account {
    pub fn new(seed: u8) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        Self {
            address: Address::from_private_key(&key),
            key,
            nonce: 0,
        }
    }

    pub fn signature(&self, hash: B256) -> Signature {
        self.key
            .sign_prehash_recoverable(hash.as_slice())
            .unwrap()
            .into()
    }

    pub fn sign<T>(&self, transaction: T) -> Recovered<TxEnvelope>
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.signature(transaction.signature_hash());
        Recovered::new_unchecked(transaction.into_signed(signature).into(), self.address)
    }

    pub fn authorize(&self, address: Address, nonce: u64) -> SignedAuthorization {
        let authorization = Authorization {
            chain_id: U256::from(ChainSpec::dev().chain_id),
            address,
            nonce,
        };
        let signature = self.signature(authorization.signature_hash());
        authorization.into_signed(signature)
    }

    fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce - 1
    }

    /// The next transaction of this account, of type 2.
    pub fn dynamic(&mut self, intent: Intent) -> Recovered<TxEnvelope> {
        let nonce = self.next_nonce();
        self.sign(TxEip1559 {
            chain_id: ChainSpec::dev().chain_id,
            nonce,
            gas_limit: intent.gas,
            max_fee_per_gas: intent.max_fee,
            max_priority_fee_per_gas: intent.tip,
            to: intent.to,
            value: intent.value,
            input: intent.input,
            ..TxEip1559::default()
        })
    }

    /// The next transaction of this account, of type 0.
    pub fn legacy(&mut self, intent: Intent, chain_id: Option<u64>) -> Recovered<TxEnvelope> {
        let nonce = self.next_nonce();
        self.sign(TxLegacy {
            chain_id,
            nonce,
            gas_limit: intent.gas,
            gas_price: intent.max_fee,
            to: intent.to,
            value: intent.value,
            input: intent.input,
        })
    }

    /// The next transaction of this account, of type 1.
    pub fn with_list(
        &mut self,
        intent: Intent,
        access_list: alloy_eips::eip2930::AccessList,
    ) -> Recovered<TxEnvelope> {
        let nonce = self.next_nonce();
        self.sign(TxEip2930 {
            chain_id: ChainSpec::dev().chain_id,
            nonce,
            gas_limit: intent.gas,
            gas_price: intent.max_fee,
            to: intent.to,
            value: intent.value,
            input: intent.input,
            access_list,
        })
    }

    /// The next transaction of this account, of type 4.
    pub fn set_code(
        &mut self,
        intent: Intent,
        to: Address,
        authorization_list: Vec<SignedAuthorization>,
    ) -> Recovered<TxEnvelope> {
        let nonce = self.next_nonce();
        self.sign(TxEip7702 {
            chain_id: ChainSpec::dev().chain_id,
            nonce,
            gas_limit: intent.gas,
            max_fee_per_gas: intent.max_fee,
            max_priority_fee_per_gas: intent.tip,
            to,
            value: intent.value,
            input: intent.input,
            access_list: Default::default(),
            authorization_list,
        })
    }
}

/// What a transaction does.
#[derive(Clone)]
pub struct Intent {
    pub to: TxKind,
    pub value: U256,
    pub input: Bytes,
    pub gas: u64,
    pub max_fee: u128,
    pub tip: u128,
}

pub const GWEI: u128 = 1_000_000_000;

impl Intent {
    fn plain(to: TxKind) -> Self {
        Self {
            to,
            value: U256::ZERO,
            input: Bytes::new(),
            gas: 1_000_000,
            max_fee: 10 * GWEI,
            tip: GWEI,
        }
    }

    pub fn transfer(to: Address, value: u128) -> Self {
        Self {
            value: U256::from(value),
            gas: 21_000,
            ..Self::plain(to.into())
        }
    }

    pub fn to_contract(to: Address, input: impl Into<Bytes>) -> Self {
        Self {
            input: input.into(),
            ..Self::plain(to.into())
        }
    }

    pub fn create(init_code: Bytes) -> Self {
        Self {
            input: init_code,
            ..Self::plain(TxKind::Create)
        }
    }

    pub fn gas(self, gas: u64) -> Self {
        Self { gas, ..self }
    }
}

pub const ETHER: u128 = 1_000_000_000_000_000_000;
pub const MINER: Address = Address::repeat_byte(0xfe);

/// An engine without a device.
pub fn cpu_engine() -> Engine {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .cpu_threads(1)
        .build()
        .unwrap()
}

/// A development chain in memory.
pub struct Chain {
    pub spec: Arc<ChainSpec>,
    pub store: Store,
    pub executor: Executor,
    pub accounts: Vec<Account>,
}

impl Chain {
    pub fn new(engine: Engine) -> Self {
        Self::with(engine, ExecutorConfig::default(), [])
    }

    /// A chain whose genesis also has these contracts.
    pub fn with(
        engine: Engine,
        config: ExecutorConfig,
        contracts: impl IntoIterator<Item = (Address, Bytes)>,
    ) -> Self {
        let contracts = contracts.into_iter().map(|(address, code)| {
            (
                address,
                GenesisAccount::default()
                    .with_nonce(Some(1))
                    .with_code(Some(code)),
            )
        });
        Self::with_alloc(engine, config, contracts)
    }

    /// A chain whose genesis also has these accounts.
    pub fn with_alloc(
        engine: Engine,
        config: ExecutorConfig,
        alloc: impl IntoIterator<Item = (Address, GenesisAccount)>,
    ) -> Self {
        let accounts: Vec<_> = (1..=8).map(Account::new).collect();
        let funded = accounts.iter().map(|account| {
            (
                account.address,
                GenesisAccount::default().with_balance(U256::from(1_000 * ETHER)),
            )
        });
        let spec = Arc::new(ChainSpec::dev().with_alloc(funded.chain(alloc)));
        let store = Store::in_memory(&spec.genesis()).unwrap();
        let executor = Executor::with_config(spec.clone(), engine, config);
        Self {
            spec,
            store,
            executor,
            accounts,
        }
    }

    pub fn attributes(&self) -> BlockAttributes {
        BlockAttributes {
            timestamp: self.store.head().header.timestamp + 1,
            beneficiary: MINER,
            prev_randao: B256::repeat_byte(0x5a),
            parent_beacon_block_root: B256::repeat_byte(0x0b),
            extra_data: Bytes::from_static(b"test"),
            withdrawals: Default::default(),
            time_budget: Duration::from_secs(60),
        }
    }

    /// Builds a block, has it verified, checks that both agree, and commits it.
    pub fn block(&self, transactions: Vec<Recovered<TxEnvelope>>) -> Executed {
        let built = self
            .executor
            .build(&self.store, transactions, self.attributes())
            .unwrap();
        let verified = self
            .executor
            .verify(&self.store, &built.commit.block)
            .unwrap();
        assert_eq!(built.commit.block, verified.commit.block);
        assert_eq!(built.commit.receipts, verified.commit.receipts);
        self.store.commit(verified.commit).unwrap();
        built
    }

    /// A block of one transaction that must be in it; its receipt's status.
    pub fn single(&self, transaction: Recovered<TxEnvelope>) -> bool {
        let executed = self.block(vec![transaction]);
        assert_eq!(executed.skipped, []);
        executed.commit.receipts[0].status()
    }

    pub fn balance(&self, address: Address) -> U256 {
        self.store
            .head_state()
            .unwrap()
            .account(&address)
            .unwrap()
            .map(|account| account.balance)
            .unwrap_or_default()
    }

    pub fn slot(&self, address: Address, slot: u64) -> U256 {
        self.store
            .head_state()
            .unwrap()
            .storage(&address, &U256::from(slot))
            .unwrap()
    }
}
