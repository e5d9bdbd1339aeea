//! `parsctl key`: keys in encrypted files.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::hex;
use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::CtlError;
use super::table::Table;
use crate::config;
use crate::keystore::{Algorithm, Cost, Folder, Keystore, KeystoreError, SecretKey, StoredKey};

/// Least letters of a new password. Long is better than odd.
const LEAST_PASSWORD: usize = 8;
/// Most bytes of a password or of a key handed in.
const MOST_INPUT: u64 = 4096;

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and keep it in an encrypted file.
    New(NewOptions),
    /// Keep a key that is there already: 32 bytes in hex from standard input.
    Import(NewOptions),
    /// List the keys of a folder. Asks for no password.
    List(ListOptions),
    /// Show a key's public part. Asks for no password.
    Show(OneOptions),
    /// Give a key file another password.
    Password(PasswordOptions),
    /// Print the secret key in the clear.
    Export(ExportOptions),
}

/// Where keys are kept.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder of the key files. By default pars/keys in $XDG_DATA_HOME, else in ~/.local/share.
    #[arg(long, value_name = "DIR", env = "PARS_KEYSTORE")]
    keystore: Option<PathBuf>,
}

impl Place {
    fn folder(&self) -> Result<Folder, CtlError> {
        let path = match &self.keystore {
            Some(path) => path.clone(),
            None => config::default_data_root()
                .map_err(|_| {
                    CtlError::Input(
                        "there is no home folder to keep keys in; name one with --keystore"
                            .to_owned(),
                    )
                })?
                .join("keys"),
        };
        Ok(Folder::new(path))
    }
}

/// Options of `new` and `import`.
#[derive(Debug, Args)]
pub(super) struct NewOptions {
    #[command(flatten)]
    place: Place,

    /// secp256k1 (an account), ml-dsa-44, ml-dsa-65 or ml-dsa-87.
    #[arg(long = "type", value_name = "TYPE", default_value = "secp256k1")]
    algorithm: String,

    /// Read the password from the first line of this file, instead of asking for it.
    #[arg(long, value_name = "FILE", env = "PARS_PASSWORD_FILE")]
    password_file: Option<PathBuf>,

    /// Make the file cheap to open, and its password cheap to guess. For development keys.
    #[arg(long)]
    light: bool,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    place: Place,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub(super) struct OneOptions {
    #[command(flatten)]
    place: Place,

    /// A key file, or the first letters of its name, address or public key.
    key: String,
}

/// Options of `password`.
#[derive(Debug, Args)]
pub(super) struct PasswordOptions {
    #[command(flatten)]
    one: OneOptions,

    /// Read the present password from this file.
    #[arg(long, value_name = "FILE", env = "PARS_PASSWORD_FILE")]
    password_file: Option<PathBuf>,

    /// Read the new password from this file.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,

    /// Make the file cheap to open, and its password cheap to guess. For development keys.
    #[arg(long)]
    light: bool,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(super) struct ExportOptions {
    #[command(flatten)]
    one: OneOptions,

    /// Read the password from this file.
    #[arg(long, value_name = "FILE", env = "PARS_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

/// Runs `parsctl key`.
pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode, CtlError> {
    match command {
        Command::New(options) => {
            let key = SecretKey::generate(options.algorithm.parse()?)?;
            keep(&key, options, out)?;
        }
        Command::Import(options) => {
            let algorithm: Algorithm = options.algorithm.parse()?;
            let key = SecretKey::new(algorithm, read_secret()?)?;
            keep(&key, options, out)?;
        }
        Command::List(options) => list(options, out)?,
        Command::Show(options) => {
            let key = options.place.folder()?.find(&options.key)?;
            writeln!(out, "file    {}", key.path.display())?;
            writeln!(out, "type    {}", key.keystore.algorithm())?;
            writeln!(out, "public  {}", public(&key))?;
        }
        Command::Password(options) => {
            let key = options.one.place.folder()?.find(&options.one.key)?;
            let old = password("Password", options.password_file.as_deref())?;
            let secret = key.keystore.decrypt(&old)?;
            let new = new_password(options.new_password_file.as_deref())?;
            let keystore = Keystore::encrypt(&secret, &new, cost(options.light))?;
            Folder::replace(&key, &keystore)?;
            writeln!(out, "{} has a new password", key.path.display())?;
        }
        Command::Export(options) => {
            let key = options.one.place.folder()?.find(&options.one.key)?;
            let password = password("Password", options.password_file.as_deref())?;
            let secret = key.keystore.decrypt(&password)?;
            let text = Zeroizing::new(hex::encode_prefixed(secret.bytes()));
            writeln!(out, "{}", text.as_str())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const fn cost(light: bool) -> Cost {
    if light { Cost::LIGHT } else { Cost::STANDARD }
}

fn keep(key: &SecretKey, options: &NewOptions, out: &mut dyn Write) -> Result<(), CtlError> {
    let folder = options.place.folder()?;
    let password = new_password(options.password_file.as_deref())?;
    let keystore = Keystore::encrypt(key, &password, cost(options.light))?;
    let path = folder.add(&keystore)?;
    writeln!(out, "file    {}", path.display())?;
    writeln!(out, "type    {}", key.algorithm())?;
    writeln!(out, "public  {}", key.public()?)?;
    Ok(())
}

/// The public name as the file tells it.
fn public(key: &StoredKey) -> String {
    key.keystore.named().map_or_else(
        || "not told by the file".to_owned(),
        |name| format!("0x{name}"),
    )
}

fn list(options: &ListOptions, out: &mut dyn Write) -> Result<(), CtlError> {
    let keys = options.place.folder()?.list()?;
    if options.json {
        let rows: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "file": key.path,
                    "type": key.keystore.algorithm().to_string(),
                    "public": key.keystore.named().map(|name| format!("0x{name}")),
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    let mut table = Table::new(3, ["type", "public", "file"]);
    for key in &keys {
        let name = public(key);
        let short = if name.len() > 42 {
            let head: String = name.chars().take(42).collect();
            format!("{head}…")
        } else {
            name
        };
        table.row([
            key.keystore.algorithm().to_string(),
            short,
            key.path.display().to_string(),
        ]);
    }
    table.write(out)?;
    Ok(())
}

/// A key in hex from standard input.
fn read_secret() -> Result<Zeroizing<[u8; 32]>, CtlError> {
    let text = if io::stdin().is_terminal() {
        Zeroizing::new(
            rpassword::prompt_password("Secret key (64 hex digits): ").map_err(CtlError::Output)?,
        )
    } else {
        first_line(io::stdin().lock())?
    };
    let mut bytes = hex::decode(text.trim())
        .map_err(|_| CtlError::Input("the secret key is not hex".to_owned()))?;
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
        CtlError::Input(format!(
            "the secret key has {} bytes in place of 32",
            bytes.len()
        ))
    });
    bytes.zeroize();
    Ok(Zeroizing::new(key?))
}

/// A password from a file, or from the person at the terminal.
fn password(prompt: &str, file: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, CtlError> {
    let text = match file {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|source| KeystoreError::Io {
                path: path.to_owned(),
                source,
            })?;
            first_line(io::BufReader::new(file))?
        }
        None if io::stdin().is_terminal() => Zeroizing::new(
            rpassword::prompt_password(format!("{prompt}: ")).map_err(CtlError::Output)?,
        ),
        None => {
            return Err(CtlError::Input(
                "there is no terminal to ask for a password; name a file with --password-file"
                    .to_owned(),
            ));
        }
    };
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

/// The same for a password that is to be set: long enough, and asked for twice.
fn new_password(file: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, CtlError> {
    let first = password("New password", file)?;
    if String::from_utf8_lossy(&first).chars().count() < LEAST_PASSWORD {
        return Err(CtlError::Input(format!(
            "the password is shorter than {LEAST_PASSWORD} letters"
        )));
    }
    if file.is_none() && password("The same again", None)? != first {
        return Err(CtlError::Input("the two passwords differ".to_owned()));
    }
    Ok(first)
}

fn first_line(reader: impl BufRead) -> Result<Zeroizing<String>, CtlError> {
    let mut line = Zeroizing::new(String::new());
    reader.take(MOST_INPUT).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}
