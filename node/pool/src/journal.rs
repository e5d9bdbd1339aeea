//! The journal: the transactions that were handed in at this node, in a file that outlives it.
//!
//! The file begins with [`MAGIC`]. A record is the length of a transaction (4 bytes, big-endian), the
//! first 8 bytes of its Keccak-256, and the transaction as it travels (EIP-2718). Records are
//! appended, and the file is written anew, next to the old one and then put in its place, when most of
//! it is of the past. What was appended survives the end of the process at any moment; a power cut may
//! take the last seconds. Damage costs the records it lies in.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use alloy_consensus::TxEnvelope;
use alloy_eips::{Decodable2718, Encodable2718};
use alloy_primitives::keccak256;
use thiserror::Error;

/// First bytes of the file, with the version of its form.
const MAGIC: &[u8; 16] = b"pars-journal-1\r\n";
/// Bytes of a record before the transaction.
const RECORD_HEAD: usize = 12;
/// A file smaller than this is not written anew, however much of it is of the past.
const SMALL: u64 = 1 << 20;

/// A journal that cannot be used.
#[derive(Debug, Error)]
#[error("cannot {action} the pool's journal {path}: {source}; make room or change its permissions, or go on without it by setting pool.journal to false", path = path.display())]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What was found in a journal.
#[derive(Debug, Default)]
pub struct Replay {
    /// The transactions, in the order in which they were handed in.
    pub transactions: Vec<TxEnvelope>,
    /// Records that were damaged, and passed over.
    pub damaged: usize,
}

/// A journal that is open for more.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Whole records end here.
    bytes: u64,
    /// Bytes of the file when it was written anew last.
    fresh: u64,
    max_bytes: u64,
    /// Transactions that found no room.
    left_out: u64,
}

impl Journal {
    /// Opens the journal at `path`, or begins one, and reads what is in it: transactions of at most
    /// `max_transaction_bytes` from the first `max_bytes`. A file that is no journal is put aside
    /// under the ending `damaged`.
    ///
    /// # Errors
    /// If the file cannot be read or written. Damage is no error.
    pub fn open(
        path: &Path,
        max_bytes: u64,
        max_transaction_bytes: usize,
    ) -> Result<(Self, Replay), JournalError> {
        let failed = |action| {
            move |source| JournalError {
                action,
                path: path.to_owned(),
                source,
            }
        };
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let mut file = open().map_err(failed("open"))?;
        let length = file.metadata().map_err(failed("read"))?.len();
        let mut magic = Vec::new();
        (&file)
            .take(MAGIC.len() as u64)
            .read_to_end(&mut magic)
            .map_err(failed("read"))?;
        let mut replay = Replay::default();
        let mut bytes = MAGIC.len() as u64;
        if magic == MAGIC {
            let mut records = BufReader::new(&file).take(max_bytes);
            bytes += read_records(&mut records, max_transaction_bytes, &mut replay)
                .map_err(failed("read"))?;
        } else {
            // Not even the first bytes were written whole, or it is something else.
            if length > MAGIC.len() as u64 {
                replay.damaged += 1;
                fs::rename(path, path.with_extension("damaged")).map_err(failed("put aside"))?;
                file = open().map_err(failed("open"))?;
            }
            file.set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .and_then(|_| file.write_all(MAGIC))
                .map_err(failed("write"))?;
        }
        // A torn tail must not run into the next record.
        file.set_len(bytes)
            .and_then(|()| file.seek(SeekFrom::Start(bytes)))
            .map_err(failed("write"))?;
        let journal = Self {
            path: path.to_owned(),
            file,
            bytes,
            fresh: bytes,
            max_bytes,
            left_out: 0,
        };
        Ok((journal, replay))
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Transactions that found no room since it was opened.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds a transaction, if there is room: `false` if there is none until the journal is written
    /// anew.
    ///
    /// # Errors
    /// If the file cannot be written; the journal can be used further.
    pub fn append(&mut self, transaction: &TxEnvelope) -> Result<bool, JournalError> {
        let mut buffer = Vec::new();
        write_record(transaction, &mut buffer);
        if self.bytes.saturating_add(buffer.len() as u64) > self.max_bytes {
            self.left_out += 1;
            return Ok(false);
        }
        if let Err(source) = self.file.write_all(&buffer) {
            // Half a record must not stay before the next one. If this fails too, what is read again
            // ends here.
            let _ = self
                .file
                .set_len(self.bytes)
                .and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            return Err(self.failed("write", source));
        }
        self.bytes += buffer.len() as u64;
        Ok(true)
    }

    /// Whether the file has doubled since it was written anew, or is full.
    pub fn is_stale(&self) -> bool {
        self.bytes > SMALL.max(self.fresh.saturating_mul(2)) || self.bytes >= self.max_bytes
    }

    /// Writes the journal anew with these transactions, as many as there is room for, and puts it in
    /// place of the old one at once.
    ///
    /// # Errors
    /// If it cannot be written; the old one is still there then.
    pub fn rewrite<'a>(
        &mut self,
        transactions: impl IntoIterator<Item = &'a TxEnvelope>,
    ) -> Result<(), JournalError> {
        let mut buffer = MAGIC.to_vec();
        for transaction in transactions {
            let before = buffer.len();
            write_record(transaction, &mut buffer);
            if buffer.len() as u64 > self.max_bytes {
                buffer.truncate(before);
                self.left_out += 1;
            }
        }
        let new = self.path.with_extension("new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(&buffer)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            // The name is durable when its folder is.
            if let Some(folder) = self
                .path
                .parent()
                .filter(|path| !path.as_os_str().is_empty())
            {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        });
        match written {
            Ok(file) => {
                self.file = file;
                self.bytes = buffer.len() as u64;
                self.fresh = self.bytes;
                Ok(())
            }
            Err(source) => Err(self.failed("rewrite", source)),
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> JournalError {
        JournalError {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

fn write_record(transaction: &TxEnvelope, out: &mut Vec<u8>) {
    let bytes = transaction.encoded_2718();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(
        keccak256(&bytes)
            .into_iter()
            .take(RECORD_HEAD - size_of::<u32>()),
    );
    out.extend_from_slice(&bytes);
}

/// Reads records to the end, or to where they cannot be told apart any more; how many bytes there
/// are to that point.
fn read_records(file: &mut impl Read, most: usize, replay: &mut Replay) -> io::Result<u64> {
    let mut good = 0;
    loop {
        let mut head = Vec::with_capacity(RECORD_HEAD);
        file.by_ref()
            .take(RECORD_HEAD as u64)
            .read_to_end(&mut head)?;
        let Some((length, checksum)) = head
            .split_first_chunk()
            .filter(|_| head.len() == RECORD_HEAD)
        else {
            replay.damaged += usize::from(!head.is_empty());
            return Ok(good);
        };
        let length = u32::from_be_bytes(*length);
        let Some(length) = usize::try_from(length)
            .ok()
            .filter(|length| *length <= most)
        else {
            replay.damaged += 1;
            return Ok(good);
        };
        let mut bytes = Vec::new();
        file.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            replay.damaged += 1;
            return Ok(good);
        }
        good += (RECORD_HEAD + length) as u64;
        let intact = keccak256(&bytes).starts_with(checksum);
        match TxEnvelope::decode_2718_exact(&bytes) {
            Ok(transaction) if intact => replay.transactions.push(transaction),
            _ => replay.damaged += 1,
        }
    }
}
