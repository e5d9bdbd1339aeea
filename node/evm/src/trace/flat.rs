//! geth's `flatCallTracer`: the frames of `callTracer` as a list, each with its place in the tree.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_trace::geth::CallFrame;
use serde::{Deserialize, Serialize};

use super::tracer::Place;

/// Settings of `flatCallTracer`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FlatSettings {
    /// Errors in Parity's words.
    pub(super) convert_parity_errors: bool,
    /// Calls of precompiles too.
    pub(super) include_precompiles: bool,
}

/// One call, creation or self-destruction.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatCall {
    action: Action,
    block_hash: Option<B256>,
    block_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Outcome>,
    subtraces: usize,
    trace_address: Vec<usize>,
    transaction_hash: Option<B256>,
    transaction_position: usize,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// What was to be done.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Action {
    #[serde(rename_all = "camelCase")]
    Call {
        call_type: String,
        from: Address,
        gas: U256,
        input: Bytes,
        to: Option<Address>,
        value: Option<U256>,
    },
    #[serde(rename_all = "camelCase")]
    Create {
        creation_method: String,
        from: Address,
        gas: U256,
        init: Bytes,
        value: Option<U256>,
    },
    #[serde(rename_all = "camelCase")]
    Destroy {
        address: Address,
        balance: Option<U256>,
        refund_address: Option<Address>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    #[serde(rename_all = "camelCase")]
    Call { gas_used: U256, output: Bytes },
    #[serde(rename_all = "camelCase")]
    Create {
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
        code: Bytes,
        gas_used: U256,
    },
}

/// The list of `top` and all within it.
pub(super) fn flatten(top: CallFrame, settings: FlatSettings, place: &Place) -> Vec<FlatCall> {
    let mut list = Vec::new();
    // The last is the next: children go on in reverse.
    let mut waiting = vec![(top, Vec::new())];
    while let Some((mut frame, address)) = waiting.pop() {
        let calls = std::mem::take(&mut frame.calls);
        let subtraces = calls.len();
        for (index, call) in calls.into_iter().enumerate().rev() {
            let mut below = address.clone();
            below.push(index);
            waiting.push((call, below));
        }
        list.push(entry(frame, subtraces, address, settings, place));
    }
    list
}

fn entry(
    frame: CallFrame,
    subtraces: usize,
    trace_address: Vec<usize>,
    settings: FlatSettings,
    place: &Place,
) -> FlatCall {
    // Of errors only a revert has a result: the reason.
    let told = frame
        .error
        .as_deref()
        .is_none_or(|error| error == "execution reverted");
    let error = frame.error.map(|error| {
        if settings.convert_parity_errors {
            in_paritys_words(error)
        } else {
            error
        }
    });
    let output = frame.output.unwrap_or_default();
    let (kind, action, result) = match frame.typ.as_str() {
        "CREATE" | "CREATE2" => (
            "create",
            Action::Create {
                creation_method: frame.typ.to_lowercase(),
                from: frame.from,
                gas: frame.gas,
                init: frame.input,
                value: frame.value,
            },
            Some(Outcome::Create {
                address: frame.to,
                code: output,
                gas_used: frame.gas_used,
            }),
        ),
        "SELFDESTRUCT" => (
            "suicide",
            Action::Destroy {
                address: frame.from,
                balance: frame.value,
                refund_address: frame.to,
            },
            None,
        ),
        _ => (
            "call",
            Action::Call {
                call_type: frame.typ.to_lowercase(),
                from: frame.from,
                gas: frame.gas,
                input: frame.input,
                to: frame.to,
                value: frame.value,
            },
            Some(Outcome::Call {
                gas_used: frame.gas_used,
                output,
            }),
        ),
    };
    FlatCall {
        action,
        block_hash: place.block_hash,
        block_number: place.block_number,
        error,
        result: result.filter(|_| told),
        subtraces,
        trace_address,
        transaction_hash: place.transaction_hash,
        transaction_position: place.index,
        kind,
    }
}

/// The error as Parity said it; one that it did not know stays as it is.
fn in_paritys_words(error: String) -> String {
    let text = match error.as_str() {
        "contract creation code storage out of gas"
        | "out of gas"
        | "gas uint64 overflow"
        | "max code size exceeded" => "Out of gas",
        "invalid jump destination" => "Bad jump destination",
        "execution reverted" => "Reverted",
        "return data out of bounds" => "Out of bounds",
        "stack limit reached 1024 (1023)" => "Out of stack",
        "precompiled failed" | "invalid input length" => "Built-in failed",
        other if other.starts_with("out of gas:") => "Out of gas",
        other if other.starts_with("invalid opcode:") => "Bad instruction",
        other if other.starts_with("stack underflow") => "Stack underflow",
        _ => return error,
    };
    text.to_owned()
}
