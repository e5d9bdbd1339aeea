//! How much work a block took before the merge.

use alloy_consensus::{Header, constants::EMPTY_OMMER_ROOT_HASH};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks as _};
use alloy_primitives::U256;

use super::ChainSpec;

/// A block's difficulty moves by multiples of this part of its parent's (yellow paper, section
/// 4.4.4).
const BOUND_DIVISOR: U256 = U256::from_limbs([2_048, 0, 0, 0]);

/// Least difficulty there is (yellow paper, section 4.4.4).
const MINIMUM: U256 = U256::from_limbs([131_072, 0, 0, 0]);

/// Blocks in which the ice age doubles its part (yellow paper, section 4.4.4).
const ICE_AGE_PERIOD: u64 = 100_000;

/// Most steps that a late block lowers the difficulty by (EIP-2).
const MOST_STEPS_DOWN: u64 = 99;

/// By how many blocks the ice age was put off, from the newest fork that did so to the oldest:
/// EIP-5133, EIP-4345, EIP-3554, EIP-2384, EIP-1234, EIP-649.
const ICE_AGE_DELAYS: [(EthereumHardfork, u64); 6] = [
    (EthereumHardfork::GrayGlacier, 11_400_000),
    (EthereumHardfork::ArrowGlacier, 10_700_000),
    (EthereumHardfork::London, 9_700_000),
    (EthereumHardfork::MuirGlacier, 9_000_000),
    (EthereumHardfork::Constantinople, 5_000_000),
    (EthereumHardfork::Byzantium, 3_000_000),
];

impl ChainSpec {
    /// Difficulty of the block at `timestamp` after `parent` by the rules of its fork, as if there
    /// had been no merge: Frontier's (yellow paper, section 4.4.4), Homestead's (EIP-2),
    /// Byzantium's (EIP-100) with the delays of its ice age since.
    ///
    /// A time before the parent's counts as the parent's. What does not fit in 256 bits is the
    /// largest number that does.
    pub fn difficulty_after(&self, parent: &Header, timestamp: u64) -> U256 {
        let number = parent.number.saturating_add(1);
        let elapsed = timestamp.saturating_sub(parent.timestamp);
        // Steps up from which the elapsed time is taken off.
        let (up, down) = if self.is_byzantium_active_at_block(number) {
            let ommers = u64::from(parent.ommers_hash != EMPTY_OMMER_ROOT_HASH);
            (1 + ommers, elapsed / 9)
        } else if self.is_homestead_active_at_block(number) {
            (1, elapsed / 10)
        } else {
            (1, if elapsed < 13 { 0 } else { 2 })
        };
        let step = parent.difficulty / BOUND_DIVISOR;
        let moved = if down > up {
            let steps = (down - up).min(MOST_STEPS_DOWN);
            let steps = step.saturating_mul(U256::from(steps));
            parent.difficulty.saturating_sub(steps)
        } else {
            let steps = step.saturating_mul(U256::from(up - down));
            parent.difficulty.saturating_add(steps)
        };
        moved.max(MINIMUM).saturating_add(self.ice_age(number))
    }

    /// What the ice age adds to the difficulty of block `number`.
    fn ice_age(&self, number: u64) -> U256 {
        let delay = ICE_AGE_DELAYS
            .into_iter()
            .find(|(fork, _)| self.is_ethereum_fork_active_at_block(*fork, number))
            .map_or(0, |(_, delay)| delay);
        let periods = number.saturating_sub(delay) / ICE_AGE_PERIOD;
        let Some(exponent) = periods.checked_sub(2) else {
            return U256::ZERO;
        };
        usize::try_from(exponent)
            .ok()
            .and_then(|exponent| U256::ONE.checked_shl(exponent))
            .unwrap_or(U256::MAX)
    }
}

#[cfg(test)]
mod tests {
    use alloy_genesis::{ChainConfig, Genesis};

    use super::*;

    fn spec(config: ChainConfig) -> ChainSpec {
        ChainSpec::from_genesis(&Genesis {
            config,
            ..Genesis::default()
        })
        .unwrap()
    }

    /// Ethereum's main network up to Gray Glacier.
    fn mainnet() -> ChainSpec {
        spec(ChainConfig {
            homestead_block: Some(1_150_000),
            eip150_block: Some(2_463_000),
            eip158_block: Some(2_675_000),
            byzantium_block: Some(4_370_000),
            constantinople_block: Some(7_280_000),
            petersburg_block: Some(7_280_000),
            istanbul_block: Some(9_069_000),
            muir_glacier_block: Some(9_200_000),
            berlin_block: Some(12_244_000),
            london_block: Some(12_965_000),
            arrow_glacier_block: Some(13_773_000),
            gray_glacier_block: Some(15_050_000),
            ..ChainConfig::default()
        })
    }

    #[test]
    fn the_first_blocks_of_the_main_network() {
        // Blocks 0, 1 and 2: difficulties 17,179,869,184, 17,171,480,576 and 17,163,096,064.
        let spec = mainnet();
        let genesis = Header {
            difficulty: U256::from(17_179_869_184_u64),
            ..Header::default()
        };
        let first = Header {
            number: 1,
            timestamp: 1_438_269_988,
            difficulty: spec.difficulty_after(&genesis, 1_438_269_988),
            ..Header::default()
        };
        assert_eq!(first.difficulty, U256::from(17_171_480_576_u64));
        assert_eq!(
            spec.difficulty_after(&first, 1_438_270_017),
            U256::from(17_163_096_064_u64)
        );
    }

    #[test]
    fn nothing_overflows() {
        let spec = mainnet();
        let parent = Header {
            number: u64::MAX - 1,
            difficulty: U256::MAX,
            ..Header::default()
        };
        assert_eq!(spec.difficulty_after(&parent, 0), U256::MAX);
        let frontier = self::spec(ChainConfig::default());
        assert_eq!(frontier.difficulty_after(&parent, u64::MAX), U256::MAX);
        let least = Header::default();
        assert_eq!(spec.difficulty_after(&least, u64::MAX), MINIMUM);
    }

    #[test]
    fn uncles_and_time_move_it_as_eip_100_says() {
        let spec = mainnet();
        let parent = Header {
            number: 5_000_000,
            timestamp: 1_000,
            difficulty: U256::from(2_048_000_000_000_u64),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            ..Header::default()
        };
        let with_ommers = Header {
            ommers_hash: Default::default(),
            ..parent.clone()
        };
        let ice = 1_u64 << 18;
        for (parent, elapsed, steps) in [
            (&parent, 8, 1_i64),
            (&parent, 9, 0),
            (&parent, 18, -1),
            (&with_ommers, 8, 2),
            (&with_ommers, 18, 0),
            (&parent, 100_000, -99),
        ] {
            let expected = 2_048_000_000_000_i64 + steps * 1_000_000_000;
            assert_eq!(
                spec.difficulty_after(parent, 1_000 + elapsed),
                U256::from(expected) + U256::from(ice),
                "{elapsed} s, {steps} steps"
            );
        }
    }
}
