//! geth's `prestateTracer`: the accounts a transaction looked at, as they were before it, or what it
//! changed of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256};
use revm::{
    DatabaseRef, Inspector,
    bytecode::opcode,
    context::TxEnv,
    context_interface::{
        Cfg, ContextTr, JournalTr, result::ResultAndState, transaction::AuthorizationTr as _,
    },
    inspector::JournalExt,
    interpreter::{
        CreateInputs, CreateOutcome, Interpreter,
        interpreter_types::{InputsTr, Jumps, LoopControl},
    },
    primitives::hardfork::SpecId,
    state::{Account, AccountInfo},
};
use serde::{Deserialize, Serialize};

use super::{TraceError, fault};

/// Settings of `prestateTracer`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PrestateSettings {
    diff_mode: bool,
    disable_code: bool,
    disable_storage: bool,
    include_empty: bool,
}

/// What is told of accounts.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Accounts {
    /// As they were before the transaction.
    Before(BTreeMap<Address, AccountTold>),
    /// What it changed.
    Changes {
        /// The values after it.
        post: BTreeMap<Address, AccountTold>,
        /// The values before it.
        pre: BTreeMap<Address, AccountTold>,
    },
}

/// What is told of an account.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountTold {
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_hash: Option<B256>,
    #[serde(skip_serializing_if = "is_zero")]
    nonce: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage: BTreeMap<B256, B256>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What an instruction looks at if it is executed.
#[derive(Clone, Copy, Debug)]
enum Look {
    Slot(Address, U256),
    Account(Address),
    Called(Address),
    Destroyed(Address, Address),
}

/// Records which accounts and slots are looked at.
#[derive(Debug, Default)]
pub(super) struct PrestateTracer {
    settings: PrestateSettings,
    seen: BTreeMap<Address, BTreeSet<U256>>,
    created: HashSet<Address>,
    deleted: HashSet<Address>,
    next: Option<Look>,
}

impl PrestateTracer {
    pub(super) fn new(settings: PrestateSettings) -> Result<Self, TraceError> {
        if settings.diff_mode && settings.include_empty {
            return Err(TraceError::Settings(
                "cannot use diffMode with includeEmpty".to_owned(),
            ));
        }
        Ok(Self {
            settings,
            ..Self::default()
        })
    }

    /// Begins another transaction.
    pub(super) fn begin(&mut self) {
        *self = Self {
            settings: self.settings,
            ..Self::default()
        };
    }

    /// What is told after `transaction`, which began on `db`.
    pub(super) fn finish<DB: DatabaseRef>(
        &mut self,
        transaction: &TxEnv,
        beneficiary: Address,
        spec: SpecId,
        result: &ResultAndState,
        db: &DB,
    ) -> Result<Accounts, DB::Error> {
        let mut seen = std::mem::take(&mut self.seen);
        seen.entry(transaction.caller).or_default();
        seen.entry(beneficiary).or_default();
        match transaction.kind {
            TxKind::Create => {
                let created = transaction.caller.create(transaction.nonce);
                self.created.insert(created);
                seen.entry(created).or_default();
            }
            TxKind::Call(to) => {
                seen.entry(to).or_default();
                if spec >= SpecId::PRAGUE
                    && let Some(info) = db.basic_ref(to)?
                    && let Some(target) = code_of(&info, db)?.eip7702_address()
                {
                    seen.entry(target).or_default();
                }
            }
        }
        for authorization in &transaction.authorization_list {
            if let Some(authority) = authorization.authority() {
                seen.entry(authority).or_default();
            }
        }

        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        for (address, slots) in seen {
            let info = db.basic_ref(address)?;
            let mut told = self.told(info.as_ref(), db)?;
            for slot in slots {
                let value = db.storage_ref(address, slot)?;
                told.storage.insert(slot.into(), value.into());
            }
            let empty = info.as_ref().is_none_or(AccountInfo::is_empty);
            if self.settings.diff_mode && !self.deleted.contains(&address) {
                let now = Now::of(result.state.get(&address), info.as_ref(), spec);
                let Some(changed) = self.changes(&now, info.as_ref(), &mut told, db)? else {
                    continue;
                };
                after.insert(address, changed);
            }
            if !empty || self.settings.include_empty {
                before.insert(address, told);
            }
        }
        Ok(if self.settings.diff_mode {
            Accounts::Changes {
                post: after,
                pre: before,
            }
        } else {
            Accounts::Before(before)
        })
    }

    /// An account before the transaction, its storage left out.
    fn told<DB: DatabaseRef>(
        &self,
        info: Option<&AccountInfo>,
        db: &DB,
    ) -> Result<AccountTold, DB::Error> {
        let Some(info) = info else {
            return Ok(AccountTold {
                balance: Some(U256::ZERO),
                ..AccountTold::default()
            });
        };
        let has_code = info.code_hash != KECCAK256_EMPTY && !info.code_hash.is_zero();
        let code = if has_code && !self.settings.disable_code {
            Some(code_of(info, db)?.original_bytes())
        } else {
            None
        };
        Ok(AccountTold {
            balance: Some(info.balance),
            code,
            code_hash: has_code.then_some(info.code_hash),
            nonce: info.nonce,
            storage: BTreeMap::new(),
        })
    }

    /// What the transaction changed of an account; `None` where that is nothing. Slots that stay as they
    /// were go from `before`.
    fn changes<DB: DatabaseRef>(
        &self,
        now: &Now<'_>,
        info: Option<&AccountInfo>,
        before: &mut AccountTold,
        db: &DB,
    ) -> Result<Option<AccountTold>, DB::Error> {
        let mut modified = false;
        let mut after = AccountTold::default();
        if before.balance != Some(now.balance) {
            modified = true;
            after.balance = Some(now.balance);
        }
        if before.nonce != now.nonce {
            modified = true;
            after.nonce = now.nonce;
        }
        if before.code_hash.unwrap_or(KECCAK256_EMPTY) != now.code_hash {
            modified = true;
            after.code_hash = Some(now.code_hash);
            let was = info.map_or(KECCAK256_EMPTY, |info| info.code_hash);
            let has_code = |hash: B256| hash != KECCAK256_EMPTY && !hash.is_zero();
            if !self.settings.disable_code && (has_code(was) || has_code(now.code_hash)) {
                after.code = Some(match now.info {
                    Some(info) if has_code(info.code_hash) => code_of(info, db)?.original_bytes(),
                    _ => Bytes::new(),
                });
            }
        }
        let written = now.account.map(|account| &account.storage);
        let mut kept = BTreeMap::new();
        for (key, was) in std::mem::take(&mut before.storage) {
            let slot = written.and_then(|storage| storage.get(&U256::from_be_bytes(key.0)));
            let is = slot.map_or(was, |slot| B256::from(slot.present_value));
            if was == is {
                continue;
            }
            modified = true;
            if !was.is_zero() {
                kept.insert(key, was);
            }
            if !is.is_zero() {
                after.storage.insert(key, is);
            }
        }
        before.storage = kept;
        Ok(modified.then_some(after))
    }

    /// Sees what the instruction looked at, once it was executed.
    fn look<CTX: ContextTr<Journal: JournalExt>>(&mut self, look: Look, context: &CTX) {
        let spec: SpecId = context.cfg().spec().into();
        match look {
            Look::Slot(address, slot) => {
                let slots = self.seen.entry(address).or_default();
                if !self.settings.disable_storage {
                    slots.insert(slot);
                }
            }
            Look::Account(address) => {
                self.seen.entry(address).or_default();
            }
            Look::Called(address) => {
                self.seen.entry(address).or_default();
                let state = context.journal_ref().evm_state();
                let code = state
                    .get(&address)
                    .and_then(|account| account.info.code.as_ref());
                if spec >= SpecId::PRAGUE
                    && let Some(target) = code.and_then(|code| code.eip7702_address())
                {
                    self.seen.entry(target).or_default();
                }
            }
            Look::Destroyed(contract, target) => {
                self.seen.entry(target).or_default();
                // Since EIP-6780 only what the same transaction created goes.
                if spec < SpecId::CANCUN || self.created.contains(&contract) {
                    self.deleted.insert(contract);
                }
            }
        }
    }
}

/// An account after the transaction.
struct Now<'a> {
    account: Option<&'a Account>,
    info: Option<&'a AccountInfo>,
    balance: U256,
    nonce: u64,
    /// Zero where there is no account.
    code_hash: B256,
}

impl<'a> Now<'a> {
    fn of(account: Option<&'a Account>, before: Option<&'a AccountInfo>, spec: SpecId) -> Self {
        let info = match account {
            None => before,
            Some(account) if account.is_selfdestructed() => None,
            Some(account) if account.is_touched() => {
                let swept = spec >= SpecId::SPURIOUS_DRAGON && account.info.is_empty();
                (!swept).then_some(&account.info)
            }
            Some(account) => before.map(|_| &account.info),
        };
        Self {
            account,
            info,
            balance: info.map_or(U256::ZERO, |info| info.balance),
            nonce: info.map_or(0, |info| info.nonce),
            code_hash: info.map_or(B256::ZERO, |info| info.code_hash),
        }
    }
}

fn code_of<DB: DatabaseRef>(
    info: &AccountInfo,
    db: &DB,
) -> Result<revm::bytecode::Bytecode, DB::Error> {
    match &info.code {
        Some(code) => Ok(code.clone()),
        None => db.code_by_hash_ref(info.code_hash),
    }
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for PrestateTracer {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut CTX) {
        let contract = interpreter.input.target_address();
        let stack = &interpreter.stack;
        let top = |position: usize| stack.peek(position).ok();
        let account = |position: usize| top(position).map(|word| Address::from_word(word.into()));
        self.next = match interpreter.bytecode.opcode() {
            opcode::SLOAD | opcode::SSTORE => top(0).map(|slot| Look::Slot(contract, slot)),
            opcode::EXTCODECOPY | opcode::EXTCODEHASH | opcode::EXTCODESIZE | opcode::BALANCE => {
                account(0).map(Look::Account)
            }
            opcode::SELFDESTRUCT => account(0).map(|target| Look::Destroyed(contract, target)),
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL => {
                account(1).map(Look::Called)
            }
            _ => None,
        };
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        let Some(look) = self.next.take() else {
            return;
        };
        let ended = interpreter.bytecode.action().as_ref();
        let result = ended.and_then(|action| action.instruction_result());
        if !result.is_some_and(fault::before_execution) {
            self.look(look, context);
        }
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let creator = context.journal_ref().evm_state().get(&inputs.caller());
        let nonce = creator.map_or(0, |account| account.info.nonce);
        let created = inputs.created_address(nonce);
        self.seen.entry(created).or_default();
        self.created.insert(created);
        None
    }
}
