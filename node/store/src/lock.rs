//! One process per data folder.

use crate::StoreError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// File in the data folder that carries the lock and the holder's process number.
const LOCK_FILE: &str = "LOCK";
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The exclusive use of a folder, given back on drop and by the operating system when the
/// process dies.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock, trying for `wait`: a process that was just killed may hold it for
    /// another moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::FolderInUse`] naming the folder and, where known, the holder;
    /// [`StoreError::Io`].
    pub fn acquire(folder: &Path, wait: Duration) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_FILE);
        let io = |doing, source| StoreError::Io {
            doing,
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| io("open", error))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < wait => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(in_use(folder, holder(&mut file), start.elapsed()));
                }
                Err(TryLockError::Error(error)) => return Err(io("lock", error)),
            }
        }
        // For people and for the message of the next process; the lock itself is the system's.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|error| io("write", error))?;
        Ok(Self { _file: file })
    }
}

/// The error for a folder that somebody else holds.
pub fn in_use(folder: &Path, holder: Option<u32>, waited: Duration) -> StoreError {
    StoreError::FolderInUse {
        path: PathBuf::from(folder),
        holder,
        waited: Duration::from_millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(dir.path(), Duration::ZERO).unwrap();
        let error = FolderLock::acquire(dir.path(), Duration::from_millis(120)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        FolderLock::acquire(dir.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_holder_that_goes_away_in_time_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(dir.path(), Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                drop(first);
            });
            FolderLock::acquire(dir.path(), Duration::from_secs(10)).unwrap();
        });
    }
}
