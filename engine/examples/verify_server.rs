//! Serves verification to other processes over a Unix socket. Requests of all clients share batches.
//!
//! ```text
//! cargo run --release -p pars-engine --example verify_server -- serve /tmp/pars.sock
//! cargo run --release -p pars-engine --example verify_server -- ask /tmp/pars.sock [COUNT]
//! ```
//!
//! The protocol, all numbers little-endian. A request: the lengths of public key, message and signature as three
//! `u32`, then the three of them. An answer, one byte each, in the order of the requests: 1 valid,
//! 0 invalid, 2 the request was malformed, 3 the engine could not answer. A client may send many requests before
//! it reads; one that sends too many is not read until it has taken answers.

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// Largest message that is taken.
const MOST_MESSAGE: usize = 1 << 20;

/// Requests of one connection that wait for an answer.
const IN_FLIGHT: usize = 4_096;

const INVALID: u8 = 0;
const VALID: u8 = 1;
const MALFORMED: u8 = 2;
const UNANSWERED: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verify_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process ends, or asks and prints what it is told.
#[cfg(unix)]
pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    match arguments {
        [command, path] if command == "serve" => unix::serve(path.as_ref(), out),
        [command, path] if command == "ask" => unix::ask(path.as_ref(), 1_000, out),
        [command, path, count] if command == "ask" => {
            let count = count
                .parse()
                .map_err(|_| format!("{count:?} is no number of signatures"))?;
            unix::ask(path.as_ref(), count, out)
        }
        _ => Err("say: serve SOCKET, or ask SOCKET [COUNT]".into()),
    }
}

/// Unix sockets are what this shows.
#[cfg(not(unix))]
pub fn run(_: &[String], _: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    Err("this system has no Unix sockets".into())
}

#[cfg(unix)]
mod unix {
    use std::io::{BufReader, BufWriter};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;
    use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
    use std::time::Instant;

    use ml_dsa::{Keypair, MlDsa65, Signer, SigningKey};
    use pars_engine::{Engine, EngineError, MlDsaVerify, SubmitError, Ticket, VerifyJob};

    use super::*;

    /// What becomes of a request.
    enum Answer {
        Later(Ticket<bool>),
        /// The queue was full, and a call waited for room.
        Now(Result<bool, EngineError>),
        Malformed,
    }

    impl Answer {
        fn is_there(&self) -> bool {
            match self {
                Self::Later(ticket) => ticket.is_answered(),
                Self::Now(_) | Self::Malformed => true,
            }
        }

        /// Waits for it.
        fn byte(self) -> u8 {
            let verdict = match self {
                Self::Later(ticket) => ticket.wait(),
                Self::Now(verdict) => verdict,
                Self::Malformed => return MALFORMED,
            };
            match verdict {
                Ok(true) => VALID,
                Ok(false) => INVALID,
                Err(_) => UNANSWERED,
            }
        }
    }

    pub fn serve(path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
        let listener = UnixListener::bind(path)
            .map_err(|error| format!("cannot listen at {}: {error}", path.display()))?;
        let engine = Engine::builder().build()?;
        writeln!(out, "listening at {}", path.display())?;
        for stream in listener.incoming() {
            let (stream, engine) = (stream?, engine.clone());
            // A client that breaks off ends its connection and nothing else.
            std::thread::spawn(move || client(&engine, stream));
        }
        Ok(())
    }

    /// Reads the requests of one client; another thread writes the answers.
    fn client(engine: &Engine, stream: UnixStream) -> io::Result<()> {
        let mut requests = BufReader::new(stream.try_clone()?);
        // Bounded: who takes no answers is not read.
        let (answers, to_write) = sync_channel(IN_FLIGHT);
        std::thread::scope(|scope| {
            scope.spawn(move || write_answers(&to_write, &stream));
            while let Some(request) = request(&mut requests)? {
                let answer = match request {
                    Err(Malformed) => Answer::Malformed,
                    Ok(job) => match engine.submit::<MlDsaVerify>(job) {
                        Ok(ticket) => Answer::Later(ticket),
                        Err(SubmitError::QueueFull { job, .. }) => {
                            Answer::Now(engine.call_blocking::<MlDsaVerify>(job))
                        }
                        Err(error) => Answer::Now(Err(error.without_job())),
                    },
                };
                if answers.send(answer).is_err() {
                    break;
                }
            }
            drop(answers);
            Ok(())
        })
    }

    fn write_answers(answers: &Receiver<Answer>, stream: &UnixStream) -> io::Result<()> {
        let mut out = BufWriter::new(stream);
        loop {
            let answer = match answers.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Disconnected) => return out.flush(),
                Err(TryRecvError::Empty) => {
                    // Before this thread sleeps the client gets what there is; here and below.
                    out.flush()?;
                    match answers.recv() {
                        Ok(answer) => answer,
                        Err(_) => return Ok(()),
                    }
                }
            };
            if !answer.is_there() {
                out.flush()?;
            }
            out.write_all(&[answer.byte()])?;
        }
    }

    /// A request that can be read to its end, but is no job.
    struct Malformed;

    /// The next request; `None` at the end. One that announces too much ends the connection: what comes
    /// after it cannot be found.
    fn request(from: &mut impl Read) -> io::Result<Option<Result<VerifyJob, Malformed>>> {
        let mut lengths = [[0; 4]; 3];
        for length in &mut lengths {
            match from.read_exact(length) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let mut parts = [const { Vec::new() }; 3];
        for (part, length) in parts.iter_mut().zip(lengths) {
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            if length > MOST_MESSAGE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            part.resize(length, 0);
            from.read_exact(part)?;
        }
        let [public_key, message, signature] = &parts;
        let job = VerifyJob::pure(public_key, b"", message, signature);
        Ok(Some(job.map_err(|_| Malformed)))
    }

    pub fn ask(path: &Path, count: usize, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
        let stream = UnixStream::connect(path).map_err(|error| {
            format!(
                "nobody serves at {}: {error}; start `serve` first",
                path.display()
            )
        })?;
        let key = SigningKey::<MlDsa65>::from_seed(&[2; 32].into());
        let public_key = key.verifying_key().encode();
        // Three different requests, asked again and again: valid, forged, cut off.
        let valid = key.sign(b"pay Bob 5").encode();
        let requests: [(&[u8], &[u8]); 3] = [
            (b"pay Bob 5", &valid),
            (b"pay Eve 500", &valid),
            (
                b"pay Bob 5",
                valid.split_last().map_or(&[], |(_, rest)| rest),
            ),
        ];
        let start = Instant::now();
        let mut counts = [0_usize; 4];
        std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
            let asking = scope.spawn(|| -> io::Result<()> {
                let mut to = BufWriter::new(&stream);
                for (message, signature) in requests.iter().cycle().take(count) {
                    for part in [public_key.as_slice(), message, signature] {
                        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
                        to.write_all(&length.to_le_bytes())?;
                    }
                    for part in [public_key.as_slice(), message, signature] {
                        to.write_all(part)?;
                    }
                }
                to.flush()?;
                stream.shutdown(std::net::Shutdown::Write)
            });
            for answer in BufReader::new(&stream).bytes() {
                match counts.get_mut(usize::from(answer?)) {
                    Some(count) => *count += 1,
                    None => return Err("the server does not keep to the protocol".into()),
                }
            }
            asking.join().map_err(|_| "the asking thread panicked")??;
            Ok(())
        })?;
        let [invalid, valid, malformed, unanswered] = counts;
        if counts.iter().sum::<usize>() != count {
            return Err("the server ended before all answers were given".into());
        }
        writeln!(
            out,
            "{count} asked: {valid} valid, {invalid} invalid, {malformed} malformed, {unanswered} unanswered, {:.1?}",
            start.elapsed()
        )?;
        Ok(())
    }
}
