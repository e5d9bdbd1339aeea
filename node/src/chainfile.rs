//! Chains in files: blocks in RLP one after another, as geth's `import` and `export` have them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use alloy_primitives::B256;
use alloy_rlp::Encodable;
use pars_engine::Priority;
use pars_evm::{Executor, VerifyError, decode_block};
use pars_store::{Block, Overlay, Store, StoreError, Tip};

/// Most bytes of one block in a file. Blocks may have 8 MiB since EIP-7934; older ones were bound
/// by gas alone.
const LARGEST_BLOCK: usize = 64 << 20;

/// Bytes of the longest RLP list header.
const LONGEST_HEADER: usize = 9;

/// Why a chain file was not read or written to its end. What was imported before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFileError {
    /// The file cannot be used.
    #[error("cannot use the file {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Something in the file is no block.
    #[error("byte {offset} of the file begins no block: {reason}")]
    Encoding {
        /// Where, from the file's start.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A block is not valid.
    #[error("block {number} is refused: {reason}")]
    Refused {
        /// Its number.
        number: u64,
        /// The rule it breaks.
        reason: VerifyError,
    },
    /// A block of the file is not the one the store has at that number.
    #[error(
        "block {number} of the file is not the one already in the data folder; import it into another folder"
    )]
    OtherChain {
        /// Its number.
        number: u64,
    },
    /// A block to be written is not there.
    #[error("block {number} is not in the data folder, its last one is {head}")]
    Missing {
        /// Asked for.
        number: u64,
        /// Last one.
        head: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far an import or export has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks taken or written.
    pub blocks: u64,
    /// Blocks of the file that were in the store already.
    pub known: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Bytes of the file so far.
    pub bytes: u64,
}

/// Verifies and stores every block of the file at `path` in order, telling `report` after each. A
/// second thread reads ahead and has the engine find the senders of many blocks at once; a third executes the
/// next blocks on top of those that are being stored.
/// Blocks that the store has already are passed over, so that an interrupted import goes on where
/// it stopped. Proof of work is not checked.
///
/// # Errors
/// At the first block that cannot be taken; the blocks before it are stored.
pub fn import(
    path: &Path,
    executor: &Executor,
    store: &Store,
    mut report: impl FnMut(Progress),
) -> Result<Progress, ChainFileError> {
    let failed = |source| ChainFileError::File {
        path: path.to_owned(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut progress = Progress::default();
    let known = store.head_number();
    thread::scope(|scope| {
        let (windows, read) = sync_channel(1);
        let reader = move || read_ahead(file, executor, known, &windows);
        let (taken, ready) = sync_channel(1);
        let ahead = move || execute_ahead(&read, executor, store, known, &taken);
        for (name, work) in [
            ("read-ahead", Box::new(reader) as Box<dyn FnOnce() + Send>),
            ("execute-ahead", Box::new(ahead)),
        ] {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, work)
                .map_err(failed)?;
        }
        for taken in ready {
            let (transactions, bytes) = match taken {
                Ok(Taken::Known(transactions, bytes)) => {
                    progress.known += 1;
                    (transactions, bytes)
                }
                Ok(Taken::New(overlay, bytes)) => {
                    store.accept(&overlay)?;
                    progress.blocks += 1;
                    (overlay.block().transactions.len(), bytes)
                }
                Ok(Taken::End) => return Ok(progress),
                Err(Stopped::Item(ItemError::File(source))) => return Err(failed(source)),
                Err(Stopped::Item(ItemError::Encoding(reason))) => {
                    return Err(ChainFileError::Encoding {
                        offset: progress.bytes,
                        reason,
                    });
                }
                Err(Stopped::Block(error)) => return Err(error),
            };
            progress.transactions += transactions as u64;
            progress.bytes += bytes;
            report(progress);
        }
        // The other threads always send the end, unless they broke off.
        Err(failed(std::io::Error::other("reading broke off")))
    })
}

/// What became of a block of the file, with its bytes there.
enum Taken {
    /// The store had it before; the number of its transactions.
    Known(usize, u64),
    /// It is valid, and to be accepted now.
    New(Overlay, u64),
    /// There is no other.
    End,
}

/// Why a file is not read on.
enum Stopped {
    Item(ItemError),
    Block(ChainFileError),
}

/// Executes blocks ahead of their being accepted, each on top of the one before. At most three are held at a time: one
/// that is being accepted, one that waits for that, one in work.
fn execute_ahead(
    windows: &Receiver<Window>,
    executor: &Executor,
    store: &Store,
    known: u64,
    taken: &SyncSender<Result<Taken, Stopped>>,
) {
    let mut chain = Ahead {
        store,
        last: known,
        blocks: VecDeque::new(),
    };
    for window in windows {
        for (block, bytes) in window.blocks {
            let result = chain.take(executor, &block, bytes).map_err(Stopped::Block);
            let stops = result.is_err();
            // The receiver is gone when a block could not be stored.
            if taken.send(result).is_err() || stops {
                return;
            }
        }
        if let Some(end) = window.end {
            // As above.
            let _ = taken.send(end.map(|()| Taken::End).map_err(Stopped::Item));
            return;
        }
    }
}

/// The blocks that were executed and are not accepted yet, on top of the store's.
struct Ahead<'a> {
    store: &'a Store,
    /// Number of the last block.
    last: u64,
    blocks: VecDeque<Overlay>,
}

impl Ahead<'_> {
    fn take(
        &mut self,
        executor: &Executor,
        block: &Block,
        bytes: u64,
    ) -> Result<Taken, ChainFileError> {
        let number = block.header.number;
        if number <= self.last {
            return match self.hash(number)? == Some(block.hash) {
                true => Ok(Taken::Known(block.transactions.len(), bytes)),
                false => Err(ChainFileError::OtherChain { number }),
            };
        }
        let tip = self.tip()?;
        let executed = executor
            .verify_on(&tip, block)
            .map_err(|reason| ChainFileError::Refused { number, reason })?;
        let overlay = tip.extend(executed.commit)?;
        self.blocks.push_back(overlay.clone());
        self.last = number;
        Ok(Taken::New(overlay, bytes))
    }

    /// Hash of a block up to the last one.
    fn hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        let mut blocks = self.blocks.iter().map(Overlay::block);
        match blocks.find(|block| block.header.number == number) {
            Some(block) => Ok(Some(block.hash)),
            None => self.store.hash(number),
        }
    }

    /// The last block. Those accepted meanwhile are let go, the others put on what is accepted now.
    fn tip(&mut self) -> Result<Tip, StoreError> {
        let mut tip = self.store.tip()?;
        let accepted = tip.head().number;
        self.blocks
            .retain(|overlay| overlay.block().header.number > accepted);
        for overlay in &mut self.blocks {
            *overlay = overlay.rebase(&tip)?;
            tip = overlay.tip().clone();
        }
        Ok(tip)
    }
}

/// Blocks that were read ahead, each with its bytes in the file, their senders found.
struct Window {
    blocks: Vec<(Block, u64)>,
    /// Why no more come after them.
    end: Option<Result<(), ItemError>>,
}

/// A window is closed at so many transactions, ...
const WINDOW_TRANSACTIONS: usize = 2_048;
/// ... so many blocks, ...
const WINDOW_BLOCKS: usize = 256;
/// ... or so many bytes.
const WINDOW_BYTES: u64 = 8 << 20;

/// Reads blocks ahead of their execution and has the senders of each window found as one batch. At
/// most three windows are held at a time: one in work, one waiting, one being read.
fn read_ahead(mut file: impl Read, executor: &Executor, known: u64, windows: &SyncSender<Window>) {
    let mut offset = 0;
    loop {
        let mut blocks = Vec::new();
        let (mut transactions, begun) = (0, offset);
        let end = loop {
            let item = next_item(&mut file, offset).and_then(|item| {
                item.map(|bytes| match decode_block(&bytes) {
                    Ok(block) => Ok((block, bytes.len() as u64)),
                    Err(error) => Err(ItemError::Encoding(error.to_string())),
                })
                .transpose()
            });
            let (block, bytes) = match item {
                Ok(Some(block)) => block,
                Ok(None) => break Some(Ok(())),
                Err(error) => break Some(Err(error)),
            };
            offset += bytes;
            transactions += block.transactions.len();
            blocks.push((block, bytes));
            if transactions >= WINDOW_TRANSACTIONS
                || blocks.len() >= WINDOW_BLOCKS
                || offset - begun >= WINDOW_BYTES
            {
                break None;
            }
        };
        let new = blocks
            .iter()
            .filter(|(block, _)| block.header.number > known);
        executor.senders().foresee(
            new.flat_map(|(block, _)| &block.transactions),
            Priority::BlockExecution,
        );
        let last = end.is_some();
        // The receiver is gone when a block was refused.
        if windows.send(Window { blocks, end }).is_err() || last {
            return;
        }
    }
}

/// Writes the blocks `from..=to` of the store into the file at `path`, telling `report` after each.
///
/// # Errors
/// If the file cannot be written or a block is missing.
pub fn export(
    path: &Path,
    store: &Store,
    from: u64,
    to: u64,
    mut report: impl FnMut(Progress),
) -> Result<Progress, ChainFileError> {
    let failed = |source| ChainFileError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let mut progress = Progress::default();
    let mut buffer = Vec::new();
    for number in from..=to {
        let block = store.block(number)?.ok_or(ChainFileError::Missing {
            number,
            head: store.head_number(),
        })?;
        progress.transactions += block.transactions.len() as u64;
        buffer.clear();
        block.into_consensus().encode(&mut buffer);
        file.write_all(&buffer).map_err(failed)?;
        progress.blocks += 1;
        progress.bytes += buffer.len() as u64;
        report(progress);
    }
    let file = file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(progress)
}

enum ItemError {
    File(std::io::Error),
    Encoding(String),
}

/// The next RLP list of the file with its header; `None` at the end.
fn next_item(file: &mut impl Read, offset: u64) -> Result<Option<Vec<u8>>, ItemError> {
    let mut first = [0];
    if read_up_to(file, &mut first).map_err(ItemError::File)? == 0 {
        return Ok(None);
    }
    // A short list has its length in the first byte, a long one in the bytes after it.
    let [prefix] = first;
    let length_bytes = usize::from(prefix.saturating_sub(0xf7)).min(LONGEST_HEADER - 1);
    let mut head = vec![0; length_bytes];
    let cut = |wanted: usize| {
        ItemError::Encoding(format!(
            "the file ends within it, {wanted} more bytes were expected; it was cut off"
        ))
    };
    if read_up_to(file, &mut head).map_err(ItemError::File)? < length_bytes {
        return Err(cut(length_bytes));
    }
    let mut item = vec![prefix];
    item.extend_from_slice(&head);
    let payload = payload_length(&item)?;
    if payload > LARGEST_BLOCK {
        return Err(ItemError::Encoding(format!(
            "it claims {payload} bytes, a block has at most {LARGEST_BLOCK}"
        )));
    }
    let start = item.len();
    let read = file
        .take(payload as u64)
        .read_to_end(&mut item)
        .map_err(ItemError::File)?;
    if read < payload {
        return Err(cut(payload - read));
    }
    debug_assert!(item.len() == start + payload, "at {offset}");
    Ok(Some(item))
}

/// Payload length of the list whose header is `header`.
fn payload_length(header: &[u8]) -> Result<usize, ItemError> {
    let wrong = |reason: &str| ItemError::Encoding(reason.to_owned());
    let (prefix, rest) = header.split_first().ok_or_else(|| wrong("nothing"))?;
    match prefix {
        0..=0xbf => Err(wrong("it is no RLP list")),
        0xc0..=0xf7 => Ok(usize::from(prefix - 0xc0)),
        _ => {
            let mut length = [0; 8];
            let at = length.len().saturating_sub(rest.len());
            length
                .get_mut(at..)
                .ok_or_else(|| wrong("its length has more than 8 bytes"))?
                .copy_from_slice(rest);
            usize::try_from(u64::from_be_bytes(length)).map_err(|_| wrong("it is too long"))
        }
    }
}

/// Fills `buffer` as far as the file goes.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut items = Vec::new();
        loop {
            match next_item(&mut bytes, 0) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(items),
                Err(ItemError::Encoding(reason)) => return Err(reason),
                Err(ItemError::File(error)) => panic!("{error}"),
            }
        }
    }

    fn list(payload: usize) -> Vec<u8> {
        let mut out = Vec::new();
        alloy_rlp::Header {
            list: true,
            payload_length: payload,
        }
        .encode(&mut out);
        out.resize(out.len() + payload, 1);
        out
    }

    #[test]
    fn lists_are_told_apart_whatever_their_length() {
        let lists = [0, 1, 55, 56, 255, 256, 70_000].map(list);
        assert_eq!(items(&lists.concat()).unwrap(), lists);
        assert_eq!(items(&[]).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_is_cut_off_or_no_list_is_said_so() {
        let whole = list(300);
        for end in 1..whole.len() {
            let reason = items(&whole[..end]).unwrap_err();
            assert!(reason.contains("cut off"), "{end}: {reason}");
        }
        assert!(items(&[0x80]).unwrap_err().contains("no RLP list"));
        let huge = [0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0];
        assert!(items(&huge).unwrap_err().contains("claims"));
    }
}
