//! geth's tracers by name, and what each answers.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Log, U256};
use alloy_rpc_types_trace::geth::{
    CallFrame, DefaultFrame, GethDebugBuiltInTracerType as BuiltIn, GethDebugTracerConfig,
    GethDebugTracerType, GethDebugTracingOptions, GethTrace,
};
use revm::{
    DatabaseRef, Inspector,
    bytecode::opcode,
    context::{BlockEnv, TxEnv},
    context_interface::{ContextTr, result::ResultAndState},
    handler::FrameResult,
    inspector::JournalExt,
    interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Interpreter},
    primitives::hardfork::SpecId,
};
use revm_inspectors::tracing::DebugInspector;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    TraceError,
    calls::{CallTracer, Flattened},
    flat::{self, FlatCall, FlatSettings},
    prestate::{Accounts, PrestateTracer},
    steps::StepTracer,
};

/// What a tracer recorded, in JSON as geth answers it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Trace {
    /// The struct logger's instructions.
    Steps(DefaultFrame),
    /// `callTracer`.
    Calls(Box<CallFrame>),
    /// `flatCallTracer`.
    Flat(Vec<FlatCall>),
    /// `prestateTracer`.
    Accounts(Accounts),
    /// `muxTracer`: those of the tracers in it.
    Several(BTreeMap<String, Trace>),
    /// Another tracer.
    Other(Box<GethTrace>),
}

/// Where a transaction stands; of a call all is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) block_hash: Option<B256>,
    pub(super) block_number: u64,
    pub(super) transaction_hash: Option<B256>,
    pub(super) index: usize,
}

/// A transaction that was traced.
pub(super) struct Done<'a> {
    pub(super) place: Place,
    pub(super) transaction: &'a TxEnv,
    pub(super) block: &'a BlockEnv,
    pub(super) spec: SpecId,
    pub(super) result: &'a ResultAndState,
}

/// One of geth's tracers.
#[derive(Debug)]
pub(super) enum Tracer {
    Steps(Box<StepTracer>),
    Calls(Box<CallTracer>),
    Flat(Box<CallTracer>, FlatSettings),
    Accounts(Box<PrestateTracer>),
    Several(Vec<(String, Tracer)>),
    Other(Box<DebugInspector>),
}

impl Tracer {
    /// The tracer that `options` ask for.
    pub(super) fn new(options: GethDebugTracingOptions) -> Result<Self, TraceError> {
        match options.tracer.as_ref().map(GethDebugTracerType::as_str) {
            None | Some("") => Ok(Self::Steps(Box::new(StepTracer::new(options.config)))),
            Some(name) => Self::named(name, options.tracer_config.0.clone()),
        }
    }

    fn named(name: &str, config: Value) -> Result<Self, TraceError> {
        Ok(match name {
            "callTracer" => Self::Calls(Box::new(CallTracer::new(settings(config)?, None))),
            "flatCallTracer" => {
                let settings: FlatSettings = settings(config)?;
                let flattened = Flattened {
                    with_precompiles: settings.include_precompiles,
                };
                let calls = CallTracer::new(Default::default(), Some(flattened));
                Self::Flat(Box::new(calls), settings)
            }
            "prestateTracer" => Self::Accounts(Box::new(PrestateTracer::new(settings(config)?)?)),
            "muxTracer" => {
                let inner: BTreeMap<String, Value> = settings(config)?;
                let inner = inner.into_iter().map(|(name, config)| {
                    let tracer = Self::named(&name, config)?;
                    Ok((name, tracer))
                });
                Self::Several(inner.collect::<Result<_, TraceError>>()?)
            }
            "4byteTracer" => Self::library(BuiltIn::FourByteTracer, Value::Null)?,
            "noopTracer" => Self::library(BuiltIn::NoopTracer, Value::Null)?,
            "erc7562Tracer" => Self::library(BuiltIn::Erc7562Tracer, erc7562(config)?)?,
            name => {
                let is_name = name
                    .chars()
                    .all(|char| char.is_ascii_alphanumeric() || char == '_');
                return Err(if is_name {
                    TraceError::Unknown(name.to_owned())
                } else {
                    TraceError::JavaScript
                });
            }
        })
    }

    /// A tracer of the library.
    fn library(tracer: BuiltIn, config: Value) -> Result<Self, TraceError> {
        let options = GethDebugTracingOptions {
            tracer: Some(tracer.into()),
            tracer_config: GethDebugTracerConfig(config),
            ..GethDebugTracingOptions::default()
        };
        DebugInspector::new(options)
            .map(|inspector| Self::Other(Box::new(inspector)))
            .map_err(|error| TraceError::Settings(error.to_string()))
    }

    /// Begins another transaction, before which its block has so many logs.
    pub(super) fn begin(&mut self, logs: u64) -> Result<(), TraceError> {
        match self {
            Self::Steps(tracer) => tracer.begin(),
            Self::Calls(tracer) | Self::Flat(tracer, _) => tracer.begin(logs),
            Self::Accounts(tracer) => tracer.begin(),
            Self::Several(inner) => {
                for (_, tracer) in inner {
                    tracer.begin(logs)?;
                }
            }
            Self::Other(tracer) => tracer
                .fuse()
                .map_err(|error| TraceError::Settings(error.to_string()))?,
        }
        Ok(())
    }

    /// What was recorded of a transaction that began on `db`.
    pub(super) fn finish<DB: DatabaseRef>(
        &mut self,
        done: &Done<'_>,
        db: &mut DB,
    ) -> Result<Trace, TraceError> {
        let (sender, gas) = (done.transaction.caller, done.transaction.gas_limit);
        let outcome = &done.result.result;
        let gas_used = outcome.tx_gas_used();
        Ok(match self {
            Self::Steps(tracer) => {
                let output = outcome.output().cloned().unwrap_or_default();
                Trace::Steps(tracer.finish(gas_used, !outcome.is_success(), output))
            }
            Self::Calls(tracer) => Trace::Calls(Box::new(tracer.finish(sender, gas, gas_used))),
            Self::Flat(tracer, settings) => {
                let top = tracer.finish(sender, gas, gas_used);
                Trace::Flat(flat::flatten(top, *settings, &done.place))
            }
            Self::Accounts(tracer) => Trace::Accounts(
                tracer
                    .finish(
                        done.transaction,
                        done.block.beneficiary,
                        done.spec,
                        done.result,
                        db,
                    )
                    .map_err(|error| TraceError::State(error.to_string()))?,
            ),
            Self::Several(inner) => {
                let inner = inner
                    .iter_mut()
                    .map(|(name, tracer)| Ok((name.clone(), tracer.finish(done, db)?)));
                Trace::Several(inner.collect::<Result<_, TraceError>>()?)
            }
            Self::Other(tracer) => Trace::Other(Box::new(
                tracer
                    .get_result(None, done.transaction, done.block, done.result, db)
                    .map_err(|error| TraceError::State(error.to_string()))?,
            )),
        })
    }
}

/// Settings as a client wrote them; none are those that apply where nothing is said.
fn settings<T: Default + DeserializeOwned>(config: Value) -> Result<T, TraceError> {
    Option::<T>::deserialize(config)
        .map(Option::unwrap_or_default)
        .map_err(|error| TraceError::Settings(error.to_string()))
}

/// The settings of `erc7562Tracer`, with the instructions that geth leaves out where none are named: those
/// that only move or compare words.
fn erc7562(config: Value) -> Result<Value, TraceError> {
    let mut config: Map<String, Value> = settings(config)?;
    let plain = [
        opcode::POP,
        opcode::ADD,
        opcode::SUB,
        opcode::MUL,
        opcode::DIV,
        opcode::EQ,
        opcode::LT,
        opcode::GT,
        opcode::SLT,
        opcode::SGT,
        opcode::SHL,
        opcode::SHR,
        opcode::AND,
        opcode::OR,
        opcode::NOT,
        opcode::ISZERO,
    ];
    config.entry("ignoredOpcodes").or_insert_with(|| {
        (opcode::PUSH0..=opcode::SWAP16)
            .chain(plain)
            .map(|opcode| format!("{opcode:#x}"))
            .collect()
    });
    Ok(config.into())
}

/// Hands what happens to each tracer.
macro_rules! each {
    ($tracer:ident, $method:ident($($argument:expr),*)) => {
        match $tracer {
            Tracer::Steps(tracer) => Inspector::<CTX>::$method(&mut **tracer, $($argument),*),
            Tracer::Calls(tracer) | Tracer::Flat(tracer, _) => {
                Inspector::<CTX>::$method(&mut **tracer, $($argument),*)
            }
            Tracer::Accounts(tracer) => Inspector::<CTX>::$method(&mut **tracer, $($argument),*),
            Tracer::Other(tracer) => Inspector::<CTX>::$method(&mut **tracer, $($argument),*),
            Tracer::Several(inner) => inner
                .iter_mut()
                .map(|(_, tracer)| Inspector::<CTX>::$method(tracer, $($argument),*))
                .fold(Default::default(), |_, last| last),
        }
    };
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for Tracer {
    fn initialize_interp(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        each!(self, initialize_interp(interpreter, context))
    }

    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        each!(self, step(interpreter, context))
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        each!(self, step_end(interpreter, context))
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        each!(self, log(context, log.clone()))
    }

    fn log_full(&mut self, interpreter: &mut Interpreter, context: &mut CTX, log: Log) {
        each!(self, log_full(interpreter, context, log.clone()))
    }

    // None of these tracers answers in place of a call.
    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        each!(self, call(context, inputs))
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        each!(self, call_end(context, inputs, outcome))
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        each!(self, create(context, inputs))
    }

    fn create_end(
        &mut self,
        context: &mut CTX,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        each!(self, create_end(context, inputs, outcome))
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        each!(self, selfdestruct(contract, target, value))
    }

    fn frame_start(&mut self, context: &mut CTX, input: &mut FrameInput) -> Option<FrameResult> {
        each!(self, frame_start(context, input))
    }

    fn frame_end(&mut self, context: &mut CTX, input: &FrameInput, result: &mut FrameResult) {
        each!(self, frame_end(context, input, result))
    }
}
