//! Turns on demand: a line with a name in, a line with a digest and the nanoseconds of a turn out.

use std::{
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Peer, VECTORS, peers};

/// Why there is no turn.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The process did not start, or ended.
    #[error("the process of Plonky3: {0}")]
    Io(#[from] io::Error),
    /// It was asked for what it does not have, or is another program.
    #[error("the process of Plonky3 answered {0:?}: build it from this tree")]
    Answer(String),
}

/// Answers requests until their end. The first line says which vectors this build has.
///
/// A turn is timed right after one that is not, which finds caches as a loop of turns leaves them: a process that waits for requests
/// would come off worse than it is.
///
/// # Errors
/// Where a line cannot be read or written.
pub fn serve(requests: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let mut peers = peers();
    writeln!(answers, "{VECTORS}")?;
    answers.flush()?;
    for name in requests.lines() {
        let name = name?;
        match peers.iter_mut().find(|peer| peer.name == name) {
            Some(peer) => {
                (peer.turn)();
                let start = Instant::now();
                (peer.turn)();
                let time = start.elapsed().as_nanos();
                writeln!(answers, "{} {time}", peer.digest())?;
            }
            None => writeln!(answers, "no permutation is called {name}")?,
        }
        answers.flush()?;
    }
    Ok(())
}

/// A running process that [serves](serve).
#[derive(Debug)]
pub struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    vectors: String,
}

impl Process {
    /// Starts the program.
    ///
    /// # Errors
    /// [`ProcessError`] if it does not start.
    pub fn start(program: &Path) -> Result<Self, ProcessError> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let mut process = Self {
            requests: child.stdin.take(),
            answers: BufReader::new(answers),
            child,
            vectors: String::new(),
        };
        process.vectors = process.line()?;
        Ok(process)
    }

    /// The vectors that it was built with, as [`VECTORS`].
    #[must_use]
    pub fn vectors(&self) -> &str {
        &self.vectors
    }

    /// A turn, timed in the process.
    ///
    /// # Errors
    /// [`ProcessError`] if it ended, or permutes otherwise than `peer`.
    pub fn turn(&mut self, peer: &Peer) -> Result<Duration, ProcessError> {
        self.turn_of(peer.name, peer.digest())
    }

    /// [`Self::turn`] of a name, whose permuted states have this digest.
    ///
    /// # Errors
    /// As [`Self::turn`].
    pub fn turn_of(&mut self, name: &str, digest: u64) -> Result<Duration, ProcessError> {
        let requests = self
            .requests
            .as_mut()
            .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        writeln!(requests, "{name}")?;
        let answer = self.line()?;
        let time = answer
            .split_once(' ')
            .filter(|(found, _)| *found == digest.to_string())
            .and_then(|(_, time)| time.parse().ok());
        time.map(Duration::from_nanos)
            .ok_or(ProcessError::Answer(answer))
    }

    fn line(&mut self) -> Result<String, ProcessError> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its requests is its end. Nobody is told of an error here.
        self.requests = None;
        let _ = self.child.wait();
    }
}
