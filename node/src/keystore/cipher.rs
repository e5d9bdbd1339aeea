//! The cryptography of key files: key derivation with bounded cost, and the two ciphers.

use aes::Aes128;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use alloy_primitives::keccak256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::KeystoreError;

/// Most memory that opening a file may take.
const MOST_MEMORY: u64 = 1 << 30;
/// Most work: scrypt's N * r * p, PBKDF2's rounds.
const MOST_SCRYPT_WORK: u64 = 1 << 25;
const MOST_PBKDF2_ROUNDS: u32 = 10_000_000;

/// What it costs to try a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// scrypt's N is 2 to this.
    log_n: u8,
    r: u32,
    p: u32,
}

impl Cost {
    /// 256 MiB and about a second, as Ethereum's tools use it.
    pub const STANDARD: Self = Self {
        log_n: 18,
        r: 8,
        p: 1,
    };
    /// 4 MiB and some milliseconds, for development keys and tests.
    pub const LIGHT: Self = Self {
        log_n: 12,
        r: 8,
        p: 1,
    };

    /// scrypt with these parameters.
    ///
    /// # Errors
    /// If N is not a power of two above 1, or the cost is more than is accepted.
    pub(super) fn scrypt(n: u64, r: u32, p: u32) -> Result<Self, KeystoreError> {
        if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 {
            return Err(KeystoreError::Form(format!(
                "scrypt parameters n = {n}, r = {r}, p = {p}"
            )));
        }
        let work = n
            .checked_mul(u64::from(r))
            .and_then(|work| work.checked_mul(u64::from(p)));
        let memory = n
            .checked_mul(u64::from(r))
            .and_then(|blocks| blocks.checked_mul(128));
        if work.is_none_or(|work| work > MOST_SCRYPT_WORK)
            || memory.is_none_or(|memory| memory > MOST_MEMORY)
        {
            return Err(KeystoreError::TooDear(format!(
                "scrypt with n = {n}, r = {r}, p = {p}"
            )));
        }
        let log_n = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
        Ok(Self { log_n, r, p })
    }

    pub(super) const fn n(self) -> u64 {
        1 << self.log_n
    }

    pub(super) const fn r(self) -> u32 {
        self.r
    }

    pub(super) const fn p(self) -> u32 {
        self.p
    }
}

/// How a password becomes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Derivation {
    Scrypt { cost: Cost, salt: Vec<u8> },
    Pbkdf2 { rounds: u32, salt: Vec<u8> },
}

impl Derivation {
    /// PBKDF2 with HMAC-SHA-256.
    pub(super) fn pbkdf2(rounds: u32, salt: Vec<u8>) -> Result<Self, KeystoreError> {
        if rounds == 0 {
            return Err(KeystoreError::Form("PBKDF2 with no rounds".to_owned()));
        }
        if rounds > MOST_PBKDF2_ROUNDS {
            return Err(KeystoreError::TooDear(format!("{rounds} rounds of PBKDF2")));
        }
        Ok(Self::Pbkdf2 { rounds, salt })
    }

    pub(super) fn run(&self, password: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let mut key = Zeroizing::new([0; 32]);
        match self {
            Self::Scrypt { cost, salt } => {
                let form = |problem: String| KeystoreError::Form(problem);
                let parameters = scrypt::Params::new(cost.log_n, cost.r, cost.p)
                    .map_err(|error| form(format!("scrypt: {error}")))?;
                scrypt::scrypt(password, salt, &parameters, key.as_mut_slice())
                    .map_err(|error| form(format!("scrypt: {error}")))?;
            }
            Self::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2_hmac::<pbkdf2::sha2::Sha256>(
                    password,
                    salt,
                    *rounds,
                    key.as_mut_slice(),
                );
            }
        }
        Ok(key)
    }
}

/// Random bytes of the operating system.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), KeystoreError> {
    getrandom::fill(bytes).map_err(|error| KeystoreError::Entropy(error.to_string()))
}

/// AES-128 in counter mode, whole block counted big-endian: Web3 Secret Storage's cipher. Encrypts
/// and decrypts alike; the first half of `key` is used.
pub(super) fn aes_128_ctr(key: &[u8; 32], iv: &[u8; 16], bytes: &mut [u8]) {
    let [half, _] = halves(key);
    Ctr128BE::<Aes128>::new(&half.into(), iv.into()).apply_keystream(bytes);
}

/// Keccak-256 of the second half of the key and the ciphertext: Web3 Secret Storage's MAC.
pub(super) fn keccak_mac(key: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    let [_, half] = halves(key);
    keccak256([half.as_slice(), ciphertext].concat()).0
}

fn halves(key: &[u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (half, part) in halves.iter_mut().zip(key.chunks_exact(16)) {
        half.copy_from_slice(part);
    }
    halves
}

/// Whether two MACs are equal, in constant time.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// AES-256-GCM in place; answers the tag.
pub(super) fn seal(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    bytes: &mut [u8],
) -> Result<[u8; 16], KeystoreError> {
    Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&Nonce::from(*nonce), associated, bytes.into())
        .map(Into::into)
        .map_err(|_| KeystoreError::Form("too long to encrypt".to_owned()))
}

/// The reverse of [`seal`]; refuses what was changed.
pub(super) fn open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    bytes: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), KeystoreError> {
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(
            &Nonce::from(*nonce),
            associated,
            bytes.into(),
            &Tag::from(*tag),
        )
        .map_err(|_| KeystoreError::Password)
}
