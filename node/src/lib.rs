//! The Pars node: wiring of store, EVM, pool, RPC and engine.
//!
//! [`Node::start`] takes a [`NodeConfig`] and runs a node with an embedded single validator;
//! `parsd` is a command line around it.
//!
//! ```
//! use pars_evm::ChainSpec;
//! use pars_node::{Node, NodeConfig};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let mut config = NodeConfig::new(ChainSpec::dev());
//! config.rpc.address.set_port(0); // any free port
//! let node = Node::start(config).await?;
//! println!("http://{}", node.rpc_address());
//! node.stop().await
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod accounts;
pub mod chainfile;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod keystore;
mod load;
pub mod metrics;
mod monitor;
mod node;
mod output;
mod plot;
mod producer;
mod schedule;
mod vm;

pub use monitor::MonitorError;
pub use node::{EngineConfig, Node, NodeConfig, NodeError};
pub use producer::{ProducerConfig, ProducerError};
pub use schedule::{Due, Pace, Schedule};
pub use vm::{BlockId, BlockMeta, ChainVm, Vm, VmError};
