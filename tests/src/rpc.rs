//! JSON-RPC over one kept-alive HTTP connection.

use std::{
    fmt,
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use crate::http;

/// How long a transaction may take to be mined.
const PATIENCE: Duration = Duration::from_secs(20);

/// An error object of the node.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// JSON-RPC error code.
    pub code: i64,
    /// Text.
    pub message: String,
    /// The `data` member; null when missing.
    pub data: Value,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Why a call brought no result.
#[derive(Debug)]
pub enum CallError {
    /// The node answered with an error object.
    Rpc(RpcError),
    /// There was no answer.
    Io(std::io::Error),
}

/// A client on one port. Reconnects when a call finds the connection gone.
#[derive(Debug)]
pub struct Rpc {
    port: u16,
    stream: Option<TcpStream>,
}

impl Rpc {
    /// A client of the node on that port of loopback; connects at the first call.
    pub fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// Calls a method; tells a node that refuses from a node that is not there.
    pub fn try_call(&mut self, method: &str, params: Value) -> Result<Value, CallError> {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let response = self.exchange(body.as_bytes()).map_err(CallError::Io)?;
        let answer: Value = serde_json::from_str(&response).map_err(|error| {
            CallError::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })?;
        match answer.get("error") {
            Some(error) => Err(CallError::Rpc(error_object(error))),
            None => Ok(answer
                .get("result")
                .cloned()
                .unwrap_or_else(|| panic!("no result and no error: {answer}"))),
        }
    }

    /// Calls a method on a node that must be up; the error is the node's own.
    pub fn result(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.try_call(method, params).map_err(|error| match error {
            CallError::Rpc(error) => error,
            CallError::Io(error) => panic!("the node did not answer {method}: {error}"),
        })
    }

    /// Calls a method that must succeed.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.result(method, params)
            .unwrap_or_else(|error| panic!("{method} failed with {error}"))
    }

    /// Calls a method that must fail.
    pub fn refused(&mut self, method: &str, params: Value) -> RpcError {
        match self.result(method, params.clone()) {
            Err(error) => error,
            Ok(value) => panic!("{method} {params} should have failed and answered {value}"),
        }
    }

    /// Height of the newest block.
    pub fn height(&mut self) -> u64 {
        quantity(&self.call("eth_blockNumber", json!([])))
    }

    /// Balance at a block tag or number.
    pub fn balance(&mut self, address: Address, block: &str) -> U256 {
        serde_json::from_value(self.call("eth_getBalance", json!([address, block])))
            .expect("a balance")
    }

    /// Nonce at a block tag or number.
    pub fn nonce(&mut self, address: Address, block: &str) -> u64 {
        quantity(&self.call("eth_getTransactionCount", json!([address, block])))
    }

    /// Receipt of a transaction, if it is mined.
    pub fn receipt(&mut self, hash: B256) -> Option<Value> {
        match self.call("eth_getTransactionReceipt", json!([hash])) {
            Value::Null => None,
            receipt => Some(receipt),
        }
    }

    /// Receipt of a transaction that must be mined soon.
    pub fn wait_for_receipt(&mut self, hash: B256) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(receipt) = self.receipt(hash) {
                return receipt;
            }
            assert!(Instant::now() < end, "{hash} is not mined");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signed transaction.
    pub fn send(&mut self, raw: &[u8]) -> Result<B256, RpcError> {
        let hash = self.result(
            "eth_sendRawTransaction",
            json!([format!("0x{}", hex::encode(raw))]),
        )?;
        Ok(serde_json::from_value(hash).expect("a transaction hash"))
    }

    fn exchange(&mut self, body: &[u8]) -> std::io::Result<String> {
        if let Some(mut stream) = self.stream.take()
            && stream.write_all(&http::post(body)).is_ok()
            && let Ok(response) = http::read_response(&mut stream)
        {
            self.stream = Some(stream);
            return Ok(response.body);
        }
        let mut stream = http::connect(self.port)?;
        stream.write_all(&http::post(body))?;
        let response = http::read_response(&mut stream)?;
        self.stream = Some(stream);
        Ok(response.body)
    }
}

/// Reads an error object, which must have a code and a message.
pub fn error_object(error: &Value) -> RpcError {
    RpcError {
        code: error
            .get("code")
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("an error without a code: {error}")),
        message: error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("an error without a message: {error}"))
            .to_owned(),
        data: error.get("data").cloned().unwrap_or(Value::Null),
    }
}

/// Reads a quantity: 0x, no leading zeros.
pub fn quantity(value: &Value) -> u64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no quantity"));
    let digits = text
        .strip_prefix("0x")
        .unwrap_or_else(|| panic!("{text} has no 0x"));
    assert!(
        digits == "0" || !digits.starts_with('0'),
        "{text} has leading zeros"
    );
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no quantity"))
}
