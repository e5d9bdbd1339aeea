//! A toy chain with the engine inside: a pool, blocks and votes, each in its class.
//!
//! ```text
//! cargo run --release -p pars-engine --example toy_chain -- [BLOCKS] [PAYMENTS]
//! ```
//!
//! Payments come in and are verified in the class of the pool; some are forged. A proposer packs the good
//! ones into a block; a validator verifies the block's payments again before it votes, and the votes of all
//! validators are verified in the class of consensus, under a deadline, with the validators' keys prepared. All of
//! it is async code under a small executor: the engine needs no runtime of its own.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::try_join;
use ml_dsa::{Keypair, MlDsa44, MlDsa65, Signer, SigningKey};
use pars_engine::{
    Engine, EngineError, InputError, MlDsaVerify, PreparedKey, Priority, SubmitOptions, VerifyJob,
};

/// How many validators vote, and how many have to.
const VALIDATORS: u8 = 4;
const QUORUM: usize = 3;

/// How long a round waits for the votes to be checked.
const ROUND: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toy_chain: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Who pays whom how much, and the payer's signature.
#[derive(Clone)]
struct Payment {
    public_key: Arc<[u8]>,
    text: String,
    signature: Arc<[u8]>,
}

impl Payment {
    fn job(&self) -> Result<VerifyJob, InputError> {
        VerifyJob::pure(
            &self.public_key,
            b"toy/payment",
            self.text.as_bytes(),
            &self.signature,
        )
    }
}

struct Validator {
    secret: SigningKey<MlDsa65>,
    /// Prepared once: nine tenths of a verification depend on the key alone.
    key: Arc<PreparedKey>,
}

struct Chain {
    engine: Engine,
    validators: Vec<Validator>,
    height: u32,
    accepted: usize,
}

impl Chain {
    fn new(engine: Engine) -> Result<Self, Box<dyn Error>> {
        let validators = (0..VALIDATORS)
            .map(|number| {
                let secret = SigningKey::<MlDsa65>::from_seed(&[number; 32].into());
                let key = Arc::new(PreparedKey::new(&secret.verifying_key().encode())?);
                Ok(Validator { secret, key })
            })
            .collect::<Result<_, InputError>>()?;
        Ok(Self {
            engine,
            validators,
            height: 0,
            accepted: 0,
        })
    }

    /// The payments whose signatures are valid.
    async fn check(
        &self,
        payments: Vec<Payment>,
        class: Priority,
    ) -> Result<Vec<Payment>, Box<dyn Error>> {
        let jobs = payments
            .iter()
            .map(Payment::job)
            .collect::<Result<_, _>>()?;
        let options = SubmitOptions::new(class);
        let verdicts = self
            .engine
            .call_many_with::<MlDsaVerify>(jobs, options)
            .await?;
        let checked = payments.into_iter().zip(verdicts);
        Ok(checked
            .filter_map(|(payment, valid)| valid.then_some(payment))
            .collect())
    }

    /// How many of the validators' votes for the next block are valid.
    async fn votes(&self) -> Result<usize, Box<dyn Error>> {
        let text = format!("block {}", self.height + 1);
        let votes = self
            .validators
            .iter()
            .map(|validator| {
                let signature = validator.secret.sign(text.as_bytes()).encode();
                let key = validator.key.public_key();
                let vote = VerifyJob::pure(key, b"", text.as_bytes(), &signature)?;
                Ok(vote.with_key(&validator.key))
            })
            .collect::<Result<_, InputError>>()?;
        let options = SubmitOptions::new(Priority::Consensus).within(ROUND);
        match self
            .engine
            .call_many_with::<MlDsaVerify>(votes, options)
            .await
        {
            Ok(verdicts) => Ok(verdicts.into_iter().filter(|valid| *valid).count()),
            // Votes that are late are votes that did not come.
            Err(EngineError::DeadlineExceeded) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// A block of what the pool holds, while the next payments are checked already.
    async fn round(
        &mut self,
        pool: Vec<Payment>,
        incoming: Vec<Payment>,
    ) -> Result<Vec<Payment>, Box<dyn Error>> {
        let packed = pool.len();
        let execution = async {
            let valid = self.check(pool, Priority::BlockExecution).await?;
            Ok((valid.len(), self.votes().await?))
        };
        let gossip = self.check(incoming, Priority::Pool);
        let ((valid, votes), next) = try_join(execution, gossip).await?;
        if valid == packed && votes >= QUORUM {
            self.height += 1;
            self.accepted += valid;
        }
        Ok(next)
    }
}

/// Signed payments, one in ten of them changed after it was signed.
fn payments(count: usize, round: u32) -> Vec<Payment> {
    let key = SigningKey::<MlDsa44>::from_seed(&[9; 32].into());
    let public_key: Arc<[u8]> = key.verifying_key().encode().to_vec().into();
    (0..count)
        .filter_map(|number| {
            let text = format!("{round}: pay {number} to Bob");
            let signature = key
                .expanded_key()
                .sign_deterministic(text.as_bytes(), b"toy/payment")
                .ok()?;
            Some(Payment {
                public_key: Arc::clone(&public_key),
                text: if number % 10 == 9 {
                    text.replace("Bob", "Eve")
                } else {
                    text
                },
                signature: signature.encode().to_vec().into(),
            })
        })
        .collect()
}

/// Makes blocks and says what became of them.
pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let number = |index: usize, usual: u32| match arguments.get(index) {
        None => Ok(usual),
        Some(text) => text
            .parse::<u32>()
            .map_err(|_| format!("{text:?} is no number; say: [BLOCKS] [PAYMENTS]")),
    };
    let (blocks, count) = (number(0, 5)?, usize::try_from(number(1, 200)?)?);
    let mut chain = Chain::new(Engine::builder().build()?)?;
    let mut pool = block_on(chain.check(payments(count, 0), Priority::Pool))?;
    for round in 1..=blocks {
        let incoming = payments(count, round);
        let start = Instant::now();
        pool = block_on(chain.round(pool, incoming))?;
        writeln!(
            out,
            "height {}, {} payments so far, {} good ones wait, {:.1?}",
            chain.height,
            chain.accepted,
            pool.len(),
            start.elapsed()
        )?;
    }
    let stats = chain.engine.stats();
    let kernel = stats.kernel("mldsa/verify").ok_or("no such kernel")?;
    writeln!(
        out,
        "{} verifications asked, {} run, {} shared, {:.0} in a batch",
        kernel.submitted,
        kernel.answered(),
        kernel.shared,
        kernel.backends[0].batch_sizes.mean()
    )?;
    Ok(())
}
