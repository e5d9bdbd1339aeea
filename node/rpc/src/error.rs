//! Errors: why the server could not start, and why a call was refused.
//!
//! Tools match on codes and on geth's wording, so both are fixed here in one place.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use alloy_primitives::Bytes;
use jsonrpsee::core::JsonRawValue;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;

/// Why the RPC server could not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// Another process listens there.
    #[error(
        "port {} of {} is in use by another program (perhaps another node); stop that one or choose another port",
        .0.port(), .0.ip()
    )]
    AddressInUse(SocketAddr),
    /// The operating system refused to listen there for another reason.
    #[error("cannot listen on {address}: {source}; check the address and the rights of this user")]
    Listen {
        /// Where the server should have listened.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The operating system gives no threads for connections.
    #[error(
        "no thread can be started for connections: {0}; raise the limit on threads or file descriptors"
    )]
    Threads(io::Error),
    /// Two methods carry one name, or a method table entry is broken.
    #[error("the method table is inconsistent: {0}")]
    Methods(String),
    /// The IPC socket cannot be made.
    #[error("cannot make the IPC socket {path}: {source}; choose a shorter path or another folder with --ipc-path, or do without it with --no-ipc", path = path.display())]
    Ipc {
        /// Where it should have been.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another process listens at the IPC socket.
    #[error("another program (perhaps another node) listens at the IPC socket {}; stop that one or choose another path with --ipc-path", .0.display())]
    IpcInUse(PathBuf),
    /// Something that is no socket is where the IPC socket should be.
    #[error("{} is there and is no socket; move it away or choose another path with --ipc-path", .0.display())]
    IpcNoSocket(PathBuf),
    /// A CORS origin of the configuration is not one.
    #[error(
        "`{0}` is not an origin; write it as a browser sends it, for example https://example.org, or `*` for any"
    )]
    Origin(String),
}

impl RpcError {
    /// The error for a failed bind of `address`.
    pub fn listen(address: SocketAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::AddressInUse(address)
        } else {
            Self::Listen { address, source }
        }
    }
}

/// Codes of JSON-RPC 2.0 and the ones Ethereum nodes have added to them.
pub mod code {
    /// Not JSON.
    pub const PARSE_ERROR: i32 = -32700;
    /// JSON, but not a request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// Wrong or missing parameters.
    pub const INVALID_PARAMS: i32 = -32602;
    /// A fault of the node itself.
    pub const INTERNAL: i32 = -32603;
    /// Unknown method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// Geth's code for every refusal that has none of its own.
    pub const SERVER: i32 = -32000;
    /// The data asked for is not kept (any more).
    pub const NOT_KEPT: i32 = -32001;
    /// The answer took too long.
    pub const TIMEOUT: i32 = -32002;
    /// More was asked for than the node's limits allow.
    pub const LIMIT: i32 = -32005;
    /// The call reverted.
    pub const REVERT: i32 = 3;
    /// `eth_sendRawTransactionSync` did not see the transaction in a block in time.
    pub const SYNC_TIMEOUT: i32 = 4;
}

/// A refused call: what the client sees as the `error` member of the answer.
#[derive(Debug, Clone)]
pub struct Fault {
    code: i32,
    message: String,
    data: Option<Box<JsonRawValue>>,
}

impl Fault {
    /// A fault with this code and text.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same fault with a `data` member.
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::value::to_raw_value(data).ok();
        self
    }

    /// Wrong parameters.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    /// A refusal in geth's words.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(code::SERVER, message)
    }

    /// A limit of this node.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(code::LIMIT, message)
    }

    /// A fault of the node. The detail goes to the log as well, for the operator.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "a call failed inside the node");
        Self::new(code::INTERNAL, format!("internal error: {detail}"))
    }

    /// The call reverted with these bytes: code 3, the text of a Solidity `Error(string)` or
    /// `Panic(uint256)` in the message, the bytes themselves as `data`.
    pub fn revert(output: &Bytes) -> Self {
        Self::new(code::REVERT, pars_evm::revert_message(output)).with_data(output)
    }

    /// The code of the fault.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The text of the fault.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Fault> for ErrorObjectOwned {
    fn from(fault: Fault) -> Self {
        Self::owned(fault.code, fault.message, fault.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revert_carries_code_text_and_bytes() {
        // Error("no")
        let mut bytes = vec![0x08, 0xc3, 0x79, 0xa0];
        bytes.resize(4 + 96, 0);
        bytes[4 + 31] = 32;
        bytes[4 + 63] = 2;
        bytes[4 + 64..4 + 66].copy_from_slice(b"no");
        let output = Bytes::from(bytes);
        let object = ErrorObjectOwned::from(Fault::revert(&output));
        assert_eq!(object.code(), 3);
        assert_eq!(object.message(), "execution reverted: no");
        assert_eq!(object.data().unwrap().get(), format!("\"{output}\""));

        let empty = ErrorObjectOwned::from(Fault::revert(&Bytes::new()));
        assert_eq!(empty.message(), "execution reverted");
        assert_eq!(empty.data().unwrap().get(), "\"0x\"");
    }

    #[test]
    fn a_taken_port_is_told_apart() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8545));
        let taken = RpcError::listen(address, io::Error::from(io::ErrorKind::AddrInUse));
        assert!(
            taken
                .to_string()
                .contains("port 8545 of 127.0.0.1 is in use"),
            "{taken}"
        );
        let refused = RpcError::listen(address, io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(matches!(refused, RpcError::Listen { .. }));
    }
}
