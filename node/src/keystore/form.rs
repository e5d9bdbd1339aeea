//! The two forms of a key file, as JSON.

use alloy_primitives::hex;
use pars_kernels::mldsa::ParameterSet;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cipher::{self, Cost, Derivation};
use super::{Algorithm, KeystoreError, Public, SecretKey};

/// A key file of either form, checked.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Ethereum(Ethereum),
    MlDsa(MlDsa),
}

/// Web3 Secret Storage, version 3.
#[derive(Debug, Clone)]
pub(super) struct Ethereum {
    derivation: Derivation,
    iv: [u8; 16],
    /// Of at most 32 bytes: old programs left zeros before the key out.
    ciphertext: Vec<u8>,
    mac: [u8; 32],
    /// Lower case hex without 0x.
    address: Option<String>,
    id: String,
}

/// The form of ML-DSA seeds.
#[derive(Debug, Clone)]
pub(super) struct MlDsa {
    set: ParameterSet,
    public_key: Vec<u8>,
    cost: Cost,
    salt: [u8; 32],
    nonce: [u8; 12],
    ciphertext: [u8; 32],
    tag: [u8; 16],
}

/// Bytes in hex, with or without 0x.
fn bytes(name: &str, text: &str) -> Result<Vec<u8>, KeystoreError> {
    hex::decode(text).map_err(|error| KeystoreError::Form(format!("`{name}` is not hex: {error}")))
}

fn array<const N: usize>(name: &str, text: &str) -> Result<[u8; N], KeystoreError> {
    let bytes = bytes(name, text)?;
    <[u8; N]>::try_from(bytes.as_slice()).map_err(|_| {
        KeystoreError::Form(format!(
            "`{name}` has {} bytes in place of {N}",
            bytes.len()
        ))
    })
}

/// An encrypted secret of 1 to 32 bytes.
fn secret_of(name: &str, text: &str) -> Result<Vec<u8>, KeystoreError> {
    let bytes = bytes(name, text)?;
    if !(1..=32).contains(&bytes.len()) {
        return Err(KeystoreError::Form(format!(
            "`{name}` has {} bytes, a key has at most 32",
            bytes.len()
        )));
    }
    Ok(bytes)
}

fn random<const N: usize>() -> Result<[u8; N], KeystoreError> {
    let mut bytes = [0; N];
    cipher::fill_random(&mut bytes)?;
    Ok(bytes)
}

// The JSON of version 3.

#[derive(Serialize, Deserialize)]
struct V3 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default)]
    id: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    ciphertext: String,
    cipherparams: CipherParams,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Serialize, Deserialize)]
struct KdfParams {
    dklen: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prf: Option<String>,
    salt: String,
}

// The JSON of ML-DSA.

/// What the field `keystore` says.
const ML_DSA_FORM: &str = "pars/1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pars1 {
    keystore: String,
    algorithm: String,
    public_key: String,
    kdf: Scrypt,
    cipher: String,
    nonce: String,
    ciphertext: String,
    tag: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scrypt {
    name: String,
    n: u64,
    r: u32,
    p: u32,
    salt: String,
}

/// The name of a key as files spell it: hex without 0x, lower case.
pub(super) fn name_of(public: &Public) -> String {
    match public {
        Public::Account(address) => hex::encode(address),
        Public::MlDsa(_, key) => hex::encode(key),
    }
}

impl Form {
    pub(super) fn parse(text: &str) -> Result<Self, KeystoreError> {
        let json: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| KeystoreError::Form(format!("not JSON: {error}")))?;
        let wrong = |error: serde_json::Error| KeystoreError::Form(error.to_string());
        if json.get("keystore").is_some() {
            let raw: Pars1 = serde_json::from_value(json).map_err(wrong)?;
            MlDsa::check(&raw).map(Self::MlDsa)
        } else {
            let raw: V3 = serde_json::from_value(json).map_err(wrong)?;
            Ethereum::check(raw).map(Self::Ethereum)
        }
    }

    pub(super) fn encrypt(
        key: &SecretKey,
        password: &[u8],
        cost: Cost,
    ) -> Result<Self, KeystoreError> {
        match key.public()? {
            Public::Account(address) => {
                Ethereum::encrypt(key, hex::encode(address), password, cost).map(Self::Ethereum)
            }
            Public::MlDsa(set, public_key) => {
                MlDsa::encrypt(key, set, public_key, password, cost).map(Self::MlDsa)
            }
        }
    }

    pub(super) fn decrypt(&self, password: &[u8]) -> Result<SecretKey, KeystoreError> {
        match self {
            Self::Ethereum(file) => file.decrypt(password),
            Self::MlDsa(file) => file.decrypt(password),
        }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ethereum(_) => Algorithm::Secp256k1,
            Self::MlDsa(file) => Algorithm::MlDsa(file.set),
        }
    }

    /// As [`name_of`] spells it.
    pub(super) fn named(&self) -> Option<String> {
        match self {
            Self::Ethereum(file) => file.address.clone(),
            Self::MlDsa(file) => Some(hex::encode(&file.public_key)),
        }
    }

    pub(super) fn to_json(&self) -> String {
        let text = match self {
            Self::Ethereum(file) => serde_json::to_string_pretty(&file.raw()),
            Self::MlDsa(file) => serde_json::to_string_pretty(&file.raw()),
        };
        // Structures of strings and numbers always are JSON.
        text.unwrap_or_default() + "\n"
    }
}

impl Ethereum {
    fn check(raw: V3) -> Result<Self, KeystoreError> {
        if raw.version != 3 {
            return Err(KeystoreError::Unsupported(format!(
                "version {}",
                raw.version
            )));
        }
        let crypto = raw.crypto;
        if crypto.cipher != "aes-128-ctr" {
            return Err(KeystoreError::Unsupported(format!(
                "the cipher `{}`",
                crypto.cipher
            )));
        }
        let kdf = &crypto.kdfparams;
        if kdf.dklen != 32 {
            return Err(KeystoreError::Unsupported(format!(
                "a derived key of {} bytes",
                kdf.dklen
            )));
        }
        let salt = bytes("salt", &kdf.salt)?;
        let missing = |name: &str| KeystoreError::Form(format!("`kdfparams` has no `{name}`"));
        let derivation = match crypto.kdf.as_str() {
            "scrypt" => Derivation::Scrypt {
                cost: Cost::scrypt(
                    kdf.n.ok_or_else(|| missing("n"))?,
                    kdf.r.ok_or_else(|| missing("r"))?,
                    kdf.p.ok_or_else(|| missing("p"))?,
                )?,
                salt,
            },
            "pbkdf2" if kdf.prf.as_deref() == Some("hmac-sha256") => {
                Derivation::pbkdf2(kdf.c.ok_or_else(|| missing("c"))?, salt)?
            }
            "pbkdf2" => {
                return Err(KeystoreError::Unsupported(
                    "PBKDF2 without HMAC-SHA-256".to_owned(),
                ));
            }
            other => {
                return Err(KeystoreError::Unsupported(format!(
                    "the key derivation `{other}`"
                )));
            }
        };
        let address = raw
            .address
            .map(|text| array::<20>("address", &text))
            .transpose()?;
        Ok(Self {
            derivation,
            iv: array("iv", &crypto.cipherparams.iv)?,
            ciphertext: secret_of("ciphertext", &crypto.ciphertext)?,
            mac: array("mac", &crypto.mac)?,
            address: address.map(hex::encode),
            id: raw.id,
        })
    }

    fn encrypt(
        key: &SecretKey,
        address: String,
        password: &[u8],
        cost: Cost,
    ) -> Result<Self, KeystoreError> {
        let derivation = Derivation::Scrypt {
            cost,
            salt: random::<32>()?.to_vec(),
        };
        let derived = derivation.run(password)?;
        let iv = random()?;
        let mut ciphertext = *key.bytes();
        cipher::aes_128_ctr(&derived, &iv, &mut ciphertext);
        Ok(Self {
            mac: cipher::keccak_mac(&derived, &ciphertext),
            derivation,
            iv,
            ciphertext: ciphertext.to_vec(),
            address: Some(address),
            id: uuid(random()?),
        })
    }

    fn decrypt(&self, password: &[u8]) -> Result<SecretKey, KeystoreError> {
        let derived = self.derivation.run(password)?;
        if !cipher::equal(&cipher::keccak_mac(&derived, &self.ciphertext), &self.mac) {
            return Err(KeystoreError::Password);
        }
        let mut short = Zeroizing::new(self.ciphertext.clone());
        cipher::aes_128_ctr(&derived, &self.iv, short.as_mut_slice());
        let mut secret = Zeroizing::new([0; 32]);
        for (place, byte) in secret.iter_mut().rev().zip(short.iter().rev()) {
            *place = *byte;
        }
        SecretKey::new(Algorithm::Secp256k1, secret)
    }

    fn raw(&self) -> V3 {
        let (kdf, kdfparams) = match &self.derivation {
            Derivation::Scrypt { cost, salt } => (
                "scrypt",
                KdfParams {
                    dklen: 32,
                    n: Some(cost.n()),
                    r: Some(cost.r()),
                    p: Some(cost.p()),
                    c: None,
                    prf: None,
                    salt: hex::encode(salt),
                },
            ),
            Derivation::Pbkdf2 { rounds, salt } => (
                "pbkdf2",
                KdfParams {
                    dklen: 32,
                    n: None,
                    r: None,
                    p: None,
                    c: Some(*rounds),
                    prf: Some("hmac-sha256".to_owned()),
                    salt: hex::encode(salt),
                },
            ),
        };
        V3 {
            address: self.address.clone(),
            crypto: Crypto {
                cipher: "aes-128-ctr".to_owned(),
                ciphertext: hex::encode(&self.ciphertext),
                cipherparams: CipherParams {
                    iv: hex::encode(self.iv),
                },
                kdf: kdf.to_owned(),
                kdfparams,
                mac: hex::encode(self.mac),
            },
            id: self.id.clone(),
            version: 3,
        }
    }
}

/// A random UUID (RFC 9562, version 4) of these bytes.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    for length in [8, 4, 4, 4, 12] {
        let (part, left) = rest.split_at(length);
        parts.push(part);
        rest = left;
    }
    parts.join("-")
}

impl MlDsa {
    fn check(raw: &Pars1) -> Result<Self, KeystoreError> {
        if raw.keystore != ML_DSA_FORM {
            return Err(KeystoreError::Unsupported(format!(
                "the form `{}`",
                raw.keystore
            )));
        }
        let Algorithm::MlDsa(set) = raw.algorithm.parse()? else {
            return Err(KeystoreError::Unsupported(format!(
                "`{}` in this form",
                raw.algorithm
            )));
        };
        if raw.kdf.name != "scrypt" {
            return Err(KeystoreError::Unsupported(format!(
                "the key derivation `{}`",
                raw.kdf.name
            )));
        }
        if raw.cipher != "aes-256-gcm" {
            return Err(KeystoreError::Unsupported(format!(
                "the cipher `{}`",
                raw.cipher
            )));
        }
        let public_key = bytes("publicKey", &raw.public_key)?;
        if public_key.len() != set.public_key_len() {
            return Err(KeystoreError::Form(format!(
                "`publicKey` has {} bytes, one of {set} has {}",
                public_key.len(),
                set.public_key_len()
            )));
        }
        Ok(Self {
            set,
            public_key,
            cost: Cost::scrypt(raw.kdf.n, raw.kdf.r, raw.kdf.p)?,
            salt: array("salt", &raw.kdf.salt)?,
            nonce: array("nonce", &raw.nonce)?,
            ciphertext: array("ciphertext", &raw.ciphertext)?,
            tag: array("tag", &raw.tag)?,
        })
    }

    /// Everything in the clear, in one unambiguous line of bytes: what the tag covers besides the
    /// secret.
    fn associated(&self) -> Vec<u8> {
        let cost = format!("{} {} {}", self.cost.n(), self.cost.r(), self.cost.p());
        let head = format!("{ML_DSA_FORM} {} scrypt {cost} aes-256-gcm\0", self.set);
        [head.as_bytes(), &self.salt, &self.public_key].concat()
    }

    fn derived(&self, password: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let derivation = Derivation::Scrypt {
            cost: self.cost,
            salt: self.salt.to_vec(),
        };
        derivation.run(password)
    }

    fn encrypt(
        key: &SecretKey,
        set: ParameterSet,
        public_key: Vec<u8>,
        password: &[u8],
        cost: Cost,
    ) -> Result<Self, KeystoreError> {
        let mut file = Self {
            set,
            public_key,
            cost,
            salt: random()?,
            nonce: random()?,
            ciphertext: *key.bytes(),
            tag: [0; 16],
        };
        let derived = file.derived(password)?;
        let associated = file.associated();
        file.tag = cipher::seal(&derived, &file.nonce, &associated, &mut file.ciphertext)?;
        Ok(file)
    }

    fn decrypt(&self, password: &[u8]) -> Result<SecretKey, KeystoreError> {
        let derived = self.derived(password)?;
        let mut seed = Zeroizing::new(self.ciphertext);
        cipher::open(
            &derived,
            &self.nonce,
            &self.associated(),
            seed.as_mut_slice(),
            &self.tag,
        )?;
        SecretKey::new(Algorithm::MlDsa(self.set), seed)
    }

    fn raw(&self) -> Pars1 {
        Pars1 {
            keystore: ML_DSA_FORM.to_owned(),
            algorithm: self.set.to_string(),
            public_key: hex::encode(&self.public_key),
            kdf: Scrypt {
                name: "scrypt".to_owned(),
                n: self.cost.n(),
                r: self.cost.r(),
                p: self.cost.p(),
                salt: hex::encode(self.salt),
            },
            cipher: "aes-256-gcm".to_owned(),
            nonce: hex::encode(self.nonce),
            ciphertext: hex::encode(self.ciphertext),
            tag: hex::encode(self.tag),
        }
    }
}
