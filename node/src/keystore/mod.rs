//! Keys in files, encrypted by a password.
//!
//! A secp256k1 key is kept in the form that every Ethereum tool reads (Web3 Secret Storage,
//! version 3). That form knows no other key and authenticates neither its parameters nor the account,
//! so an ML-DSA key has a form of its own: scrypt as there, then AES-256-GCM, which covers the
//! algorithm, the public key and the cost. What is encrypted is the 32-byte seed ξ of key generation
//! (FIPS 204, Algorithm 1).
//!
//! A file is read whole before a password is asked for: its algorithm and its public name are in the
//! clear, its memory and time are bounded by what this program accepts, and a wrong password is told
//! from a damaged file where the form allows it.

mod cipher;
mod form;
mod store;

use alloy_primitives::{Address, hex};
use k256::ecdsa::SigningKey;
use pars_kernels::mldsa::ParameterSet;
use zeroize::{Zeroize, Zeroizing};

pub use cipher::Cost;
pub use store::{Folder, StoredKey};

use form::Form;

/// Most bytes of a key file.
const MOST_BYTES: u64 = 64 * 1024;

/// Why a key cannot be used or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// The text is no key file.
    #[error("not a key file: {0}")]
    Form(String),
    /// A key file of a kind that this program does not read.
    #[error("this key file uses {0}, which is not supported")]
    Unsupported(String),
    /// A key file that would take too much memory or time to open.
    #[error("this key file asks for {0}, more than is accepted")]
    TooDear(String),
    /// The password does not open the file, or the file was changed.
    #[error("the password is wrong, or the file was changed")]
    Password,
    /// The key inside is not the one that the file names.
    #[error("the key inside belongs to {found}, but the file names {named}")]
    OtherKey {
        /// Whose key it is.
        found: String,
        /// Whose the file says it is.
        named: String,
    },
    /// Bytes that are no secret key.
    #[error("not a secret key: {0}")]
    Secret(&'static str),
    /// The system has no entropy.
    #[error("the system gave no random bytes: {0}")]
    Entropy(String),
    /// A file or folder cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// There is a key of this name already.
    #[error("{path} is there already; a key is never written over", path = .0.display())]
    Exists(std::path::PathBuf),
    /// No key, or several, of this name.
    #[error("{0}")]
    Name(String),
}

/// What kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// An Ethereum account.
    Secp256k1,
    /// FIPS 204.
    MlDsa(ParameterSet),
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secp256k1 => f.write_str("secp256k1"),
            Self::MlDsa(set) => set.fmt(f),
        }
    }
}

impl std::str::FromStr for Algorithm {
    type Err = KeystoreError;

    fn from_str(text: &str) -> Result<Self, KeystoreError> {
        let lower = text.to_ascii_lowercase();
        if lower == "secp256k1" {
            return Ok(Self::Secp256k1);
        }
        ParameterSet::ALL
            .into_iter()
            .find(|set| set.to_string().to_ascii_lowercase() == lower)
            .map(Self::MlDsa)
            .ok_or_else(|| KeystoreError::Unsupported(format!("the algorithm `{text}`")))
    }
}

/// A secret key: a secp256k1 scalar, or the seed of an ML-DSA key pair. Wiped when dropped, never
/// printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey {
    algorithm: Algorithm,
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl SecretKey {
    /// A key of these bytes.
    ///
    /// # Errors
    /// [`KeystoreError::Secret`] for a secp256k1 scalar that is 0 or not below the group's order.
    pub fn new(algorithm: Algorithm, bytes: Zeroizing<[u8; 32]>) -> Result<Self, KeystoreError> {
        if algorithm == Algorithm::Secp256k1 && SigningKey::from_slice(bytes.as_slice()).is_err() {
            return Err(KeystoreError::Secret(
                "a secp256k1 key lies between 1 and the group's order - 1",
            ));
        }
        Ok(Self { algorithm, bytes })
    }

    /// A fresh key from the system's entropy.
    ///
    /// # Errors
    /// [`KeystoreError::Entropy`] if the system has none.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeystoreError> {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            cipher::fill_random(bytes.as_mut_slice())?;
            // A scalar out of range has a probability of 2^-128.
            if let Ok(key) = Self::new(algorithm, bytes) {
                return Ok(key);
            }
        }
    }

    /// What kind of key it is.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The 32 secret bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The public name: the account of a secp256k1 key, the public key of an ML-DSA key (pkEncode,
    /// FIPS 204, Algorithm 22).
    ///
    /// # Errors
    /// [`KeystoreError::Secret`] if the library cannot derive it.
    pub fn public(&self) -> Result<Public, KeystoreError> {
        match self.algorithm {
            Algorithm::Secp256k1 => SigningKey::from_slice(self.bytes.as_slice())
                .map(|key| Public::Account(Address::from_private_key(&key)))
                .map_err(|_| KeystoreError::Secret("out of range")),
            Algorithm::MlDsa(set) => Ok(Public::MlDsa(set, ml_dsa_public_key(set, &self.bytes))),
        }
    }
}

/// The public key of a seed: ML-DSA.KeyGen_internal (FIPS 204, Algorithm 6).
fn ml_dsa_public_key(set: ParameterSet, seed: &[u8; 32]) -> Vec<u8> {
    fn of<P: ml_dsa::MlDsaParams>(seed: &[u8; 32]) -> Vec<u8> {
        let mut seed = ml_dsa::Seed::from(*seed);
        let key = ml_dsa::SigningKey::<P>::from_seed(&seed);
        seed.zeroize();
        let public: &ml_dsa::VerifyingKey<P> = key.as_ref();
        public.encode().to_vec()
    }
    match set {
        ParameterSet::MlDsa44 => of::<ml_dsa::MlDsa44>(seed),
        ParameterSet::MlDsa65 => of::<ml_dsa::MlDsa65>(seed),
        ParameterSet::MlDsa87 => of::<ml_dsa::MlDsa87>(seed),
    }
}

/// What the world may know of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Public {
    /// An Ethereum account.
    Account(Address),
    /// An encoded ML-DSA public key.
    MlDsa(ParameterSet, Vec<u8>),
}

impl std::fmt::Display for Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(address) => write!(f, "{address}"),
            Self::MlDsa(_, key) => f.write_str(&hex::encode_prefixed(key)),
        }
    }
}

/// A key file as it was read: everything but the secret is in the clear.
#[derive(Debug, Clone)]
pub struct Keystore {
    form: Form,
}

impl Keystore {
    /// Reads a key file's text.
    ///
    /// # Errors
    /// If it is no key file, or of a kind or cost that is not accepted.
    pub fn parse(text: &str) -> Result<Self, KeystoreError> {
        Form::parse(text).map(|form| Self { form })
    }

    /// Encrypts a key.
    ///
    /// # Errors
    /// If the system has no entropy, or the key's public name cannot be derived.
    pub fn encrypt(key: &SecretKey, password: &[u8], cost: Cost) -> Result<Self, KeystoreError> {
        Form::encrypt(key, password, cost).map(|form| Self { form })
    }

    /// The key inside. Takes the time and memory that the file asks for: about a second.
    ///
    /// # Errors
    /// If the password is wrong, the file was changed, or its key is not the one that it names.
    pub fn decrypt(&self, password: &[u8]) -> Result<SecretKey, KeystoreError> {
        let key = self.form.decrypt(password)?;
        if let Some(named) = self.form.named() {
            let found = form::name_of(&key.public()?);
            if found != named {
                return Err(KeystoreError::OtherKey { found, named });
            }
        }
        Ok(key)
    }

    /// What kind of key is inside.
    pub fn algorithm(&self) -> Algorithm {
        self.form.algorithm()
    }

    /// The account or public key that the file names, in hex; an Ethereum file need not name any.
    pub fn named(&self) -> Option<String> {
        self.form.named()
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        self.form.to_json()
    }
}

#[cfg(test)]
mod tests;
