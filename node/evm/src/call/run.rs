//! One call, prepared once and run as often as needed.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use alloy_consensus::Header;
use alloy_evm::{
    EvmEnv,
    overrides::{OverrideBlockHashes as _, apply_state_overrides},
    precompiles::{Precompile as _, PrecompilesMap},
    rpc::TryIntoTxEnv as _,
};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    Context, Database as _, Inspector, MainBuilder as _, MainContext as _,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::result::{EVMError, ExecutionResult, ResultAndState},
    database::{State, WrapDatabaseRef},
    precompile::{PrecompileSpecId, Precompiles as StandardPrecompiles},
    primitives::hardfork::SpecId,
};

use super::{
    CallError, CallOptions,
    cfg::CallCfg,
    gas_allowance,
    overrides::{CallPrecompiles, PrecompileOverrides, refusal},
    watch::Watch,
};
use crate::{
    Executor, eip1283,
    eip7610::Eip7610,
    env::block_env,
    execution::{MIN_TRANSACTION_GAS, View, deadline},
    precompiles::Run,
    spec::BlockRules,
    state::StateRef,
    trace::fault::Instruction,
};

/// Where a call runs.
pub(crate) type CallContext<'s, V> =
    Context<BlockEnv, TxEnv, CallCfg, &'s mut State<WrapDatabaseRef<View<V>>>>;

/// A call with its state, block and limits.
pub(crate) struct Caller<'a, V: StateRef> {
    executor: &'a Executor,
    env: EvmEnv,
    parent_hash: B256,
    state: State<WrapDatabaseRef<View<V>>>,
    /// What to run; its gas limit is the most it may have.
    pub(crate) transaction: TxEnv,
    /// Most gas any call may have.
    pub(crate) gas_cap: u64,
    /// Gas limit of the block the call stands in.
    pub(crate) block_gas_limit: u64,
    deadline: Instant,
    time_limit: Duration,
    off_chain: bool,
    moved: PrecompileOverrides,
    /// Made when the request was read, for the first run.
    prepared: Option<CallPrecompiles>,
}

impl<'a, V: StateRef> Caller<'a, V> {
    /// Reads the request, applies the overrides and settles the gas.
    pub(crate) fn prepare(
        executor: &'a Executor,
        header: &Header,
        state: V,
        request: &TransactionRequest,
        options: &CallOptions,
    ) -> Result<Self, CallError> {
        let deadline = deadline(Instant::now(), options.time_limit);
        let mut state = State::builder().with_database_ref(View(state)).build();
        let mut env = block_env(&executor.spec, header);
        if let Some(overrides) = &options.block_overrides {
            state.apply_block_overrides((**overrides).clone(), &mut env.block_env);
        }
        if let Some(overrides) = &options.state_overrides {
            apply_state_overrides(overrides.clone(), &mut state).map_err(|error| {
                refusal(error).map_or_else(
                    |error| CallError::State(error.to_string()),
                    CallError::Overrides,
                )
            })?;
        }
        let blob_fields = request.blob_versioned_hashes.is_some()
            || request.sidecar.is_some()
            || request.max_fee_per_blob_gas.is_some();
        if blob_fields && executor.spec.rules == BlockRules::Pars {
            return Err(CallError::Request(
                crate::BLOB_TRANSACTION_REFUSED.to_owned(),
            ));
        }
        if names_no_fee(request) {
            // As in geth: a call that pays nothing sees a base fee of nothing.
            env.block_env.basefee = 0;
        }
        let mut transaction = request
            .clone()
            .try_into_tx_env(&env)
            .map_err(|error| CallError::Request(error.to_string()))?;
        if transaction.chain_id != Some(executor.spec.chain_id) {
            return Err(CallError::Request(format!(
                "chainId does not match node's (have={}, want={})",
                transaction.chain_id.unwrap_or_default(),
                executor.spec.chain_id
            )));
        }
        // The nonce is not checked; taking the account's keeps the address of a contract that
        // the call creates what it would be.
        let account = state
            .basic(transaction.caller)
            .map_err(|error| CallError::State(error.to_string()))?
            .unwrap_or_default();
        transaction.nonce = request.nonce.unwrap_or(account.nonce);
        let allowance = gas_allowance(account.balance, transaction.value, transaction.gas_price)
            .ok_or_else(|| insufficient_funds(&transaction, account.balance, options.gas_cap))?;
        transaction.gas_limit = match request.gas {
            Some(gas) => gas.min(options.gas_cap),
            None => options.gas_cap.min(allowance),
        };
        let off_chain = options.off_chain_randomness
            && executor.config.precompile_os_randomness
            && matches!(transaction.kind, TxKind::Call(to) if executor.precompiles.contains(&to));
        let moved = match &options.state_overrides {
            Some(overrides) => PrecompileOverrides::of(overrides),
            None => PrecompileOverrides::default(),
        };
        let mut caller = Self {
            executor,
            parent_hash: header.parent_hash,
            block_gas_limit: env.block_env.gas_limit,
            env,
            state,
            transaction,
            deadline,
            time_limit: options.time_limit,
            off_chain,
            gas_cap: options.gas_cap,
            moved,
            prepared: None,
        };
        // What is the request's fault is told now.
        caller.prepared = Some(caller.precompiles()?);
        Ok(caller)
    }

    /// Refuses a call without a gas limit of its own whose sender cannot even pay for the least gas there is.
    pub(crate) fn check_funds(&mut self) -> Result<(), CallError> {
        if self.transaction.gas_limit >= MIN_TRANSACTION_GAS.min(self.gas_cap) {
            return Ok(());
        }
        let have = self.balance()?;
        Err(insufficient_funds(&self.transaction, have, self.gas_cap))
    }

    /// Runs `transaction` and gives back its last instruction too; the state stays as it was.
    pub(crate) fn run(
        &mut self,
        transaction: TxEnv,
    ) -> Result<(ExecutionResult, Option<Instruction>), CallError> {
        self.watched(transaction, Watch::new(self.deadline))
            .map(|(result, watch)| (result, watch.last()))
    }

    /// Runs `transaction` and gives back what it touched, less `excluded`.
    pub(crate) fn record(
        &mut self,
        transaction: TxEnv,
        excluded: HashSet<Address>,
    ) -> Result<(ExecutionResult, Watch), CallError> {
        self.watched(transaction, Watch::recording(self.deadline, excluded))
    }

    fn watched(
        &mut self,
        transaction: TxEnv,
        mut watch: Watch,
    ) -> Result<(ExecutionResult, Watch), CallError> {
        let outcome = self.inspect(transaction, &mut watch);
        if watch.expired() {
            return Err(CallError::Timeout(self.time_limit));
        }
        Ok((outcome?.result, watch))
    }

    /// Runs `transaction` under `inspector`; the state stays as it was. The inspector has to keep
    /// the time.
    pub(crate) fn inspect<'s, I: Inspector<CallContext<'s, V>>>(
        &'s mut self,
        transaction: TxEnv,
        inspector: &mut I,
    ) -> Result<ResultAndState, CallError> {
        let precompiles = match self.prepared.take() {
            Some(prepared) => prepared,
            None => self.precompiles()?,
        };
        let mut evm = Context::mainnet()
            .with_block::<BlockEnv>(self.env.block_env.clone())
            .with_cfg(CallCfg::new(self.env.cfg_env.clone()))
            .with_db(&mut self.state)
            .build_mainnet_with_inspector(inspector)
            .with_precompiles(precompiles);
        eip1283::install(&mut evm.instruction, &self.env.cfg_env);
        let mut evm = Eip7610::new(evm);
        match evm.inspect(transaction) {
            Ok(outcome) => Ok(outcome),
            Err(EVMError::Transaction(error)) => {
                let Context { tx, block, .. } = &evm.evm.ctx;
                Err(CallError::invalid(&error, tx, block.basefee))
            }
            Err(error) => Err(CallError::State(error.to_string())),
        }
    }

    /// The state the call runs on.
    pub(crate) fn state(&mut self) -> &mut State<WrapDatabaseRef<View<V>>> {
        &mut self.state
    }

    /// The rules the call runs by.
    pub(crate) fn spec(&self) -> SpecId {
        self.env.cfg_env.spec
    }

    /// The block the call stands in.
    pub(crate) fn block(&self) -> &BlockEnv {
        &self.env.block_env
    }

    /// The standard precompiles of the fork and this network's own, where the overrides put them.
    pub(crate) fn precompiles(&self) -> Result<CallPrecompiles, CallError> {
        let mut map = standard_precompiles(&self.env.cfg_env);
        let run = if self.off_chain {
            Run::OffChainCall
        } else {
            Run::Call
        };
        self.executor
            .precompiles
            .install(&mut map, self.parent_hash, &run);
        self.moved.apply(map).map_err(CallError::Overrides)
    }

    /// Most gas the sender can pay for.
    pub(crate) fn allowance(&mut self) -> Result<u64, CallError> {
        let have = self.balance()?;
        let TxEnv {
            value, gas_price, ..
        } = self.transaction;
        gas_allowance(have, value, gas_price)
            .ok_or_else(|| insufficient_funds(&self.transaction, have, self.gas_cap))
    }

    /// What the sender has.
    fn balance(&mut self) -> Result<U256, CallError> {
        let account = self.state.basic(self.transaction.caller);
        let account = account.map_err(|error| CallError::State(error.to_string()))?;
        Ok(account.unwrap_or_default().balance)
    }

    /// Whether the account has code.
    pub(crate) fn has_code(&mut self, address: Address) -> Result<bool, CallError> {
        let account = self
            .state
            .basic(address)
            .map_err(|error| CallError::State(error.to_string()))?;
        Ok(account.is_some_and(|account| !account.is_empty_code_hash()))
    }

    /// Most gas one transaction may have (EIP-7825).
    pub(crate) fn transaction_gas_cap(&self) -> u64 {
        revm::context_interface::Cfg::tx_gas_limit_cap(&self.env.cfg_env)
    }
}

impl Executor {
    /// Name and address of every precompile of a block at `timestamp`, Ethereum's own and this
    /// network's.
    pub fn precompile_names(&self, timestamp: u64) -> BTreeMap<String, Address> {
        let header = Header {
            // Forks by number have all begun where any is by time.
            number: u64::MAX,
            timestamp,
            ..Header::default()
        };
        let mut map = standard_precompiles(&block_env(&self.spec, &header).cfg_env);
        self.precompiles.install(&mut map, B256::ZERO, &Run::Call);
        let addresses = map.addresses().copied();
        addresses
            .filter_map(|address| {
                let precompile = map.get(&address)?;
                Some((precompile.precompile_id().name().to_owned(), address))
            })
            .collect()
    }
}

/// Ethereum's own precompiles under these rules.
pub(crate) fn standard_precompiles(cfg: &CfgEnv) -> PrecompilesMap {
    let spec_id = PrecompileSpecId::from_spec_id(cfg.spec);
    PrecompilesMap::from_static(StandardPrecompiles::new(spec_id))
}

/// Whether the request names no fee, or only fees of zero.
fn names_no_fee(request: &TransactionRequest) -> bool {
    [
        request.gas_price,
        request.max_fee_per_gas,
        request.max_priority_fee_per_gas,
    ]
    .into_iter()
    .flatten()
    .all(|fee| fee == 0)
}

/// The refusal of a transaction whose sender cannot pay for the value and so much gas.
fn insufficient_funds(transaction: &TxEnv, have: U256, gas: u64) -> CallError {
    let want = U256::from(gas)
        .saturating_mul(U256::from(transaction.gas_price))
        .saturating_add(transaction.value);
    CallError::Invalid {
        reason: format!(
            "insufficient funds for gas * price + value: address {} have {have} want {want}",
            transaction.caller
        ),
        gas,
    }
}
