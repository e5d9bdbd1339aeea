//! Any bytes as the body of a request to a running node: it answers, with no fault of its own.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pars_engine::GpuPolicy;
use pars_evm::ChainSpec;
use pars_node::{Node, NodeConfig};

/// A development node in memory, for as long as the process lives.
static NODE: LazyLock<(tokio::runtime::Runtime, Node, SocketAddr)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut config = NodeConfig::new(ChainSpec::dev());
    config.rpc.address.set_port(0);
    config.engine.gpu = GpuPolicy::Off;
    let node = runtime.block_on(Node::start(config)).expect("a node");
    let address = node.rpc_address();
    (runtime, node, address)
});

fuzz_target!(|data: &[u8]| {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        data.len()
    );
    let mut stream = TcpStream::connect(NODE.2).expect("the node listens");
    // It may hang up before it has read everything.
    let _ = stream.write_all(&[head.as_bytes(), data].concat());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    assert!(!answer.contains("\"code\":-32603"), "{answer}");
});
