//! A node in this process, a wallet, and the least HTTP and WebSocket clients.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use alloy_consensus::transaction::SignableTransaction;
use alloy_consensus::{TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::Encodable2718;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use k256::ecdsa::SigningKey;
use pars_engine::GpuPolicy;
use pars_evm::ChainSpec;
use pars_node::accounts::{DEV_MNEMONIC, derive};
use pars_node::{Node, NodeConfig};
use serde_json::{Value, json};

pub const CHAIN_ID: u64 = 6133;
const PATIENCE: Duration = Duration::from_secs(20);

/// A development chain in memory on a free port.
pub fn config() -> NodeConfig {
    let funded = GenesisAccount::default().with_balance(U256::from(10).pow(U256::from(22)));
    let accounts = derive(DEV_MNEMONIC, 10).unwrap();
    let spec = ChainSpec::dev().with_alloc(
        accounts
            .iter()
            .map(|account| (account.address, funded.clone())),
    );
    let mut config = NodeConfig::new(spec);
    config.rpc.address.set_port(0);
    config.engine.gpu = GpuPolicy::Off;
    config
}

/// Runs `test` against a node, on a thread of its own so that it may block.
pub fn with_node(config: NodeConfig, test: impl FnOnce(Rpc) + Send + 'static) {
    runtime().block_on(async {
        let node = Node::start(config).await.unwrap();
        let address = node.rpc_address();
        let test = tokio::task::spawn_blocking(move || test(Rpc { address }));
        let outcome = test.await;
        node.stop().await.unwrap();
        if let Err(error) = outcome {
            std::panic::resume_unwind(error.into_panic());
        }
    });
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// JSON-RPC over HTTP, a connection a call.
#[derive(Clone, Copy)]
pub struct Rpc {
    pub address: SocketAddr,
}

impl Rpc {
    /// The whole answer to one request.
    pub fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (_, answer) = self.post(body.to_string().as_bytes());
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{method}: {answer}"))
    }

    /// The result of a call that must succeed.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params.clone());
        assert_eq!(answer.get("error"), None, "{method} {params}");
        answer["result"].take()
    }

    /// Code and message of a call that must fail.
    pub fn refused(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.ask(method, params.clone());
        let error = answer
            .get("error")
            .unwrap_or_else(|| panic!("{method} {params}: {answer}"));
        (
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
        )
    }

    /// Sends a body and returns status and body of the answer.
    pub fn post(&self, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat())
    }

    /// Sends these bytes and reads until the node closes the connection.
    pub fn exchange(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        // The node may hang up before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a transaction and returns its hash.
    pub fn send(&self, raw: &Bytes) -> String {
        self.call("eth_sendRawTransaction", json!([raw]))
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits for a receipt.
    pub fn receipt(&self, hash: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let receipt = self.call("eth_getTransactionReceipt", json!([hash]));
            if !receipt.is_null() {
                return receipt;
            }
            assert!(Instant::now() < end, "no receipt of {hash}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a transaction, waits for it, and returns its receipt.
    pub fn mine(&self, raw: &Bytes) -> Value {
        self.receipt(&self.send(raw))
    }

    pub fn block_number(&self) -> u64 {
        number(&self.call("eth_blockNumber", json!([])))
    }
}

/// A quantity as a number.
pub fn number(value: &Value) -> u64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("no quantity: {value}"));
    let digits = text.strip_prefix("0x").unwrap();
    assert!(
        digits == "0" || !digits.starts_with('0'),
        "leading zeros: {text}"
    );
    u64::from_str_radix(digits, 16).unwrap()
}

/// A WebSocket connection.
pub struct WebSocket(pub TcpStream);

impl WebSocket {
    pub fn connect(rpc: Rpc) -> Self {
        Self::upgrade(rpc.connect())
    }

    /// Makes a connection one.
    pub fn upgrade(mut stream: TcpStream) -> Self {
        stream
            .write_all(
                b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
            )
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend_from_slice(&byte);
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        Self(stream)
    }

    /// Sends one text frame with a mask of zeros.
    pub fn send(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match u16::try_from(text.len()) {
            Ok(length @ 0..126) => frame.push(0x80 | length as u8),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).unwrap();
    }

    /// The next text message; `None` when the connection ends or nothing comes.
    pub fn receive(&mut self) -> Option<Value> {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).ok()?;
            let length = match head[1] & 0x7f {
                126 => {
                    let mut bytes = [0; 2];
                    self.0.read_exact(&mut bytes).ok()?;
                    u64::from(u16::from_be_bytes(bytes))
                }
                127 => {
                    let mut bytes = [0; 8];
                    self.0.read_exact(&mut bytes).ok()?;
                    u64::from_be_bytes(bytes)
                }
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).ok()?;
            match head[0] & 0x0f {
                1 => return Some(serde_json::from_slice(&payload).unwrap()),
                8 => return None,
                _ => {}
            }
        }
    }

    /// The answer to one request; notifications on the way are lost.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(
            &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        );
        loop {
            let message = self.receive().unwrap();
            if message.get("id").is_some() {
                return message;
            }
        }
    }

    /// Subscribes and returns the subscription's id.
    pub fn subscribe(&mut self, params: Value) -> Value {
        let answer = self.ask("eth_subscribe", params);
        assert!(answer["result"].is_string(), "{answer}");
        answer["result"].clone()
    }

    /// The next notification of a subscription.
    pub fn notification(&mut self, id: &Value) -> Value {
        loop {
            let mut message = self.receive().expect("a notification");
            if message["method"] == "eth_subscription" && message["params"]["subscription"] == *id {
                return message["params"]["result"].take();
            }
        }
    }
}

/// A development account that signs.
pub struct Wallet {
    key: SigningKey,
    pub address: Address,
}

impl Wallet {
    pub fn development(index: usize) -> Self {
        let account = derive(DEV_MNEMONIC, 10).unwrap().remove(index);
        Self::new(account.private_key)
    }

    pub fn new(key: B256) -> Self {
        let key = SigningKey::from_slice(key.as_slice()).unwrap();
        Self {
            address: Address::from_private_key(&key),
            key,
        }
    }

    pub fn sign<T>(&self, transaction: T) -> Bytes
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let (signature, recovery) = self
            .key
            .sign_prehash_recoverable(transaction.signature_hash().as_slice())
            .unwrap();
        let signature = Signature::from((signature, recovery));
        TxEnvelope::from(transaction.into_signed(signature))
            .encoded_2718()
            .into()
    }

    pub fn transfer(&self, nonce: u64, to: Address, value: u64) -> Bytes {
        self.sign(TxEip1559 {
            value: U256::from(value),
            ..call(nonce, to, Bytes::new())
        })
    }
}

/// A type 2 call with ample gas and fees.
pub fn call(nonce: u64, to: Address, input: Bytes) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 2_000_000_000,
        to: TxKind::Call(to),
        input,
        ..TxEip1559::default()
    }
}

/// A type 2 creation.
pub fn create(nonce: u64, init: Bytes) -> TxEip1559 {
    TxEip1559 {
        to: TxKind::Create,
        ..call(nonce, Address::ZERO, init)
    }
}

pub fn legacy(nonce: u64, to: Address) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: 100_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        value: U256::from(1),
        ..TxLegacy::default()
    }
}

pub fn type_one(nonce: u64, to: Address) -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: 100_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        value: U256::from(1),
        ..TxEip2930::default()
    }
}

/// Init code that deploys `runtime`.
pub fn deploy(runtime: &[u8]) -> Bytes {
    let length = u16::try_from(runtime.len()).unwrap().to_be_bytes();
    // PUSH2 length, DUP1, PUSH1 12, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let mut init = vec![
        0x61, length[0], length[1], 0x80, 0x60, 12, 0x60, 0, 0x39, 0x60, 0, 0xf3,
    ];
    init.extend_from_slice(runtime);
    init.into()
}

pub fn topic(last: u8) -> B256 {
    B256::with_last_byte(last)
}

/// Code that stores 42 in slot 0, emits topics 1 and 2, and stops.
pub fn logger() -> Vec<u8> {
    let mut code = vec![0x60, 42, 0x60, 0, 0x55];
    for last in [1, 2] {
        code.push(0x7f);
        code.extend_from_slice(topic(last).as_slice());
        code.extend_from_slice(&[0x60, 0, 0x60, 0, 0xa1]);
    }
    code.push(0);
    code
}

/// Code that reverts with `Error("not yours")`.
pub fn refuser() -> Vec<u8> {
    let data = error_data();
    let length = u8::try_from(data.len()).unwrap();
    let mut code = vec![
        0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xfd,
    ];
    code.extend_from_slice(&data);
    code
}

/// The revert bytes of [`refuser`].
pub fn error_data() -> Vec<u8> {
    hex!("08c379a0"
         "0000000000000000000000000000000000000000000000000000000000000020"
         "0000000000000000000000000000000000000000000000000000000000000009"
         "6e6f7420796f7572730000000000000000000000000000000000000000000000")
    .to_vec()
}

pub const SOMEONE: Address = Address::repeat_byte(0xbe);
