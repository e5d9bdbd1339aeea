//! Verifies a file of signatures, on the best back end of this machine.
//!
//! ```text
//! cargo run --release -p pars-engine --example verify_file -- make FILE [COUNT]
//! cargo run --release -p pars-engine --example verify_file -- FILE
//! ```
//!
//! `make` writes a file of signatures, one in a hundred of them spoilt, so that there is something to see.
//!
//! The format: a line for each signature, four words: `44`, `65` or `87` for the parameter set of
//! ML-DSA, then public key, message and signature in hexadecimal. A message of no bytes is `-`; the
//! context is empty. Empty lines and lines that begin with `#` are passed over.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use ml_dsa::{Keypair, MlDsa65, Signer, SigningKey};
use pars_engine::{Engine, MlDsaVerify, ParameterSet, VerifyJob};

/// Signatures handed over at one time. More than the engine's largest batch gains nothing.
const AT_ONCE: usize = 8_192;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments, &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("verify_file: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all signatures are valid.
pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    match arguments {
        [command, file] if command == "make" => make(Path::new(file), 1_000, out),
        [command, file, count] if command == "make" => {
            let count = count
                .parse()
                .map_err(|_| format!("{count:?} is no number of signatures"))?;
            make(Path::new(file), count, out)
        }
        [file] => verify(Path::new(file), out),
        _ => Err("say: FILE, or make FILE [COUNT]".into()),
    }
}

fn make(file: &Path, count: u32, out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    let mut text = BufWriter::new(File::create(file)?);
    let key = SigningKey::<MlDsa65>::from_seed(&[1; 32].into());
    let public_key = hex::encode(key.verifying_key().encode());
    writeln!(text, "# set, public key, message, signature")?;
    for number in 1..=count {
        let message = format!("message {number}");
        let mut signature = key.sign(message.as_bytes()).encode();
        if number.is_multiple_of(100)
            && let Some(byte) = signature.first_mut()
        {
            *byte ^= 1;
        }
        let (message, signature) = (hex::encode(message), hex::encode(signature));
        writeln!(text, "65 {public_key} {message} {signature}")?;
    }
    text.flush()?;
    writeln!(out, "{count} signatures in {}", file.display())?;
    Ok(true)
}

/// A line of the file; what is wrong with it otherwise.
fn job(line: &str) -> Result<VerifyJob, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[set, public_key, message, signature] = words.as_slice() else {
        return Err(format!("{} words, not four", words.len()).into());
    };
    let set = match set {
        "44" => ParameterSet::MlDsa44,
        "65" => ParameterSet::MlDsa65,
        "87" => ParameterSet::MlDsa87,
        other => return Err(format!("{other:?} is no parameter set; use 44, 65 or 87").into()),
    };
    let message = if message == "-" { "" } else { message };
    let public_key = hex::decode(public_key)?;
    let found = ParameterSet::from_public_key_len(public_key.len());
    if found != Some(set) {
        return Err(format!("{} bytes are no public key of {set}", public_key.len()).into());
    }
    let (message, signature) = (hex::decode(message)?, hex::decode(signature)?);
    // Lengths are checked here, and nothing else can be wrong with a job.
    Ok(VerifyJob::pure(&public_key, b"", &message, &signature)?)
}

fn verify(file: &Path, out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    let lines = BufReader::new(
        File::open(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?,
    );
    let engine = Engine::builder().build()?;
    let (mut valid, mut invalid) = (0_usize, 0_usize);
    let start = Instant::now();
    let mut jobs = Vec::new();
    let mut check = |jobs: &mut Vec<(usize, VerifyJob)>| -> Result<(), Box<dyn Error>> {
        let (numbers, jobs): (Vec<_>, Vec<_>) = jobs.drain(..).unzip();
        let verdicts = engine.call_many_blocking::<MlDsaVerify>(jobs)?;
        for (number, verdict) in numbers.into_iter().zip(verdicts) {
            if verdict {
                valid += 1;
            } else {
                invalid += 1;
                writeln!(out, "line {number}: invalid")?;
            }
        }
        Ok(())
    };
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line?;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let job = job(&line).map_err(|error| format!("line {number}: {error}"))?;
        jobs.push((number, job));
        if jobs.len() == AT_ONCE {
            check(&mut jobs)?;
        }
    }
    check(&mut jobs)?;
    let time = start.elapsed();
    writeln!(
        out,
        "{valid} valid, {invalid} invalid, {time:.1?} with reading the file"
    )?;
    for backend in &engine.stats().kernels[0].backends {
        if backend.answered > 0 {
            writeln!(
                out,
                "{} on {}, {:.0} in a batch",
                backend.answered,
                backend.backend,
                backend.batch_sizes.mean()
            )?;
        }
    }
    Ok(invalid == 0)
}
