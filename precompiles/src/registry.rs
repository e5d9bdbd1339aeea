//! Which contract answers at which address.

use crate::{
    call::Address,
    mldsa::MlDsa,
    precompile::{Class, Precompile, SecretOperations},
    question::Question,
};
use std::{fmt, sync::Arc};

/// The contracts of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Contract {
    /// `IMLDSA`: ML-DSA keys and signatures (FIPS 204).
    MlDsa,
}

/// Whether an entry answers calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Installed.
    Active,
    /// Known and not installed: the address is an ordinary account.
    Off,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub address: Address,
    /// What.
    pub contract: Contract,
    /// Its name for people.
    pub name: &'static str,
    /// Whether it answers.
    pub status: Status,
}

/// The table of the Pars networks.
///
/// | address | contract | name | status |
/// |---|---|---|---|
/// | 0x…0602 | `MlDsa` | ML-DSA | active |
#[rustfmt::skip]
pub const PARS: &[Row] = &[
    Row { address: short(0x0602), contract: Contract::MlDsa, name: "ML-DSA", status: Status::Active },
];

/// The address with `low` in its last two bytes and zeros before.
pub const fn short(low: u16) -> Address {
    let mut address = [0; 20];
    [address[18], address[19]] = low.to_be_bytes();
    address
}

/// An account that a chain's genesis gives each address of the registry.
///
/// Solidity looks for code before it calls through an interface, and EIP-161 would delete an empty account. The code
/// never runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisRow {
    /// The precompile's address.
    pub address: Address,
    /// 1.
    pub nonce: u64,
    /// The single byte 0x01.
    pub code: Vec<u8>,
}

/// The precompiles of one chain. Addresses are configuration: move rows, add aliases, switch rows off.
///
/// ```
/// use pars_precompiles::{Contract, Registry, Status, short};
///
/// let registry = Registry::pars()
///     .with_alias(short(0x0601), Contract::MlDsa)
///     .moved(Contract::MlDsa, short(0x0777));
/// assert!(registry.get(&short(0x0777)).is_some());
/// assert!(registry.get(&short(0x0602)).is_none());
/// ```
#[derive(Clone)]
pub struct Registry {
    rows: Vec<Row>,
    secret_operations: SecretOperations,
    /// One per active row, in the order of the rows.
    precompiles: Vec<Arc<dyn Precompile>>,
    /// Their addresses in order, each with its place among them: who runs a block asks for many.
    places: Vec<(Address, usize)>,
}

impl Registry {
    /// The table of the Pars networks, [`PARS`].
    pub fn pars() -> Self {
        Self::new(PARS.to_vec(), SecretOperations::default())
    }

    /// A registry of these rows. Of two rows with one address the later one counts.
    pub fn new(rows: Vec<Row>, secret_operations: SecretOperations) -> Self {
        let mut unique: Vec<Row> = Vec::with_capacity(rows.len());
        for row in rows {
            unique.retain(|earlier| earlier.address != row.address);
            unique.push(row);
        }
        let active = || unique.iter().filter(|row| row.status == Status::Active);
        let precompiles = active().map(|row| build(row, secret_operations)).collect();
        let mut places: Vec<_> = active().map(|row| row.address).zip(0..).collect();
        places.sort_unstable();
        Self {
            rows: unique,
            secret_operations,
            precompiles,
            places,
        }
    }

    /// The same registry with every row of `contract` replaced by one at `address`.
    #[must_use]
    pub fn moved(self, contract: Contract, address: Address) -> Self {
        let mut rows = self.rows;
        let Some(first) = rows.iter().position(|row| row.contract == contract) else {
            return Self::new(rows, self.secret_operations);
        };
        let row = Row {
            address,
            ..rows[first]
        };
        rows.retain(|row| row.contract != contract);
        rows.push(row);
        Self::new(rows, self.secret_operations)
    }

    /// The same registry with `contract` answering at `address` as well, under the name and status it has.
    #[must_use]
    pub fn with_alias(self, address: Address, contract: Contract) -> Self {
        let mut rows = self.rows;
        if let Some(row) = rows.iter().find(|row| row.contract == contract) {
            let alias = Row { address, ..*row };
            rows.push(alias);
        }
        Self::new(rows, self.secret_operations)
    }

    /// The same registry with the row at `address` switched on or off.
    #[must_use]
    pub fn with_status(self, address: &Address, status: Status) -> Self {
        let mut rows = self.rows;
        for row in rows.iter_mut().filter(|row| row.address == *address) {
            row.status = status;
        }
        Self::new(rows, self.secret_operations)
    }

    /// The same registry under another rule for functions that make or take secrets. Part of consensus.
    #[must_use]
    pub fn with_secret_operations(self, secret_operations: SecretOperations) -> Self {
        Self::new(self.rows, secret_operations)
    }

    /// The same table with each active precompile behind what `wrap` puts around it: to count calls, say. Methods that
    /// change rows make the precompiles anew, so this comes last.
    #[must_use]
    pub fn wrapped(mut self, wrap: impl FnMut(Arc<dyn Precompile>) -> Arc<dyn Precompile>) -> Self {
        self.precompiles = self.precompiles.into_iter().map(wrap).collect();
        self
    }

    /// The whole table, rows that are off included.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The precompiles that answer calls.
    pub fn precompiles(&self) -> impl Iterator<Item = &Arc<dyn Precompile>> {
        self.precompiles.iter()
    }

    /// The precompile that answers at `address`.
    pub fn get(&self, address: &Address) -> Option<&Arc<dyn Precompile>> {
        let place = self.places.binary_search_by_key(address, |(at, _)| *at);
        let (_, place) = self.places.get(place.ok()?)?;
        self.precompiles.get(*place)
    }

    /// The questions a direct call of `to` with this calldata will ask, found without running anything. Empty if `to`
    /// is no precompile.
    pub fn questions(&self, to: &Address, input: &[u8]) -> Vec<Question> {
        self.get(to)
            .map_or_else(Vec::new, |precompile| precompile.questions(input))
    }

    /// Whether a direct call of `to` with this calldata would make or take a secret, which a transaction makes public
    /// for ever. Pools refuse such transactions unless told otherwise, and logs hide the calldata.
    pub fn is_secret_operation(&self, to: &Address, input: &[u8]) -> bool {
        self.get(to)
            .and_then(|precompile| {
                let selector = input.first_chunk::<4>()?;
                precompile
                    .functions()
                    .iter()
                    .find(|function| function.selector == *selector)
            })
            .is_some_and(|function| matches!(function.class, Class::Secret | Class::Generate))
    }

    /// The accounts that a chain's genesis must have for this registry.
    pub fn genesis(&self) -> impl Iterator<Item = GenesisRow> {
        self.precompiles.iter().map(|precompile| GenesisRow {
            address: precompile.address(),
            nonce: 1,
            code: vec![0x01],
        })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::pars()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("rows", &self.rows)
            .field("secret_operations", &self.secret_operations)
            .finish()
    }
}

/// The contract of a row at its address.
fn build(row: &Row, secret_operations: SecretOperations) -> Arc<dyn Precompile> {
    match row.contract {
        Contract::MlDsa => Arc::new(MlDsa::new(row.address, secret_operations)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_pars() {
        let registry = Registry::default();
        assert_eq!(registry.rows(), PARS);
        let mldsa = registry.get(&short(0x0602)).unwrap();
        assert_eq!(mldsa.name(), "ML-DSA");
        assert_eq!(mldsa.address()[18..], [0x06, 0x02]);
        assert!(registry.get(&short(0x0601)).is_none());
    }

    #[test]
    fn addresses_are_configuration() {
        let registry = Registry::pars().with_alias(short(0x0601), Contract::MlDsa);
        assert!(registry.get(&short(0x0601)).is_some());
        assert!(registry.get(&short(0x0602)).is_some());
        assert_eq!(registry.precompiles().count(), 2);
        let moved = registry.moved(Contract::MlDsa, short(0x0700));
        assert_eq!(moved.precompiles().count(), 1);
        assert_eq!(moved.get(&short(0x0700)).unwrap().address(), short(0x0700));
        let off = moved.with_status(&short(0x0700), Status::Off);
        assert!(off.get(&short(0x0700)).is_none());
        assert_eq!(off.rows().len(), 1);
        assert_eq!(off.genesis().count(), 0);
    }

    #[test]
    fn an_address_has_one_contract() {
        let registry = Registry::pars().with_alias(short(0x0602), Contract::MlDsa);
        assert_eq!(registry.rows().len(), 1);
    }

    #[test]
    fn genesis_accounts_survive_state_clearing() {
        let rows: Vec<_> = Registry::pars().genesis().collect();
        assert_eq!(
            rows,
            [GenesisRow {
                address: short(0x0602),
                nonce: 1,
                code: vec![1]
            }]
        );
    }

    #[test]
    fn secret_operations_are_known_by_selector() {
        let registry = Registry::pars();
        let to = short(0x0602);
        for function in registry.get(&to).unwrap().functions() {
            let secret = matches!(function.class, Class::Secret | Class::Generate);
            assert_eq!(
                registry.is_secret_operation(&to, &function.selector),
                secret
            );
            assert!(!registry.is_secret_operation(&short(0x0603), &function.selector));
        }
        assert!(!registry.is_secret_operation(&to, &[0xf7, 0x9f, 0xa0]));
    }
}
