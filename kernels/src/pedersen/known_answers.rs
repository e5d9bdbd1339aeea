//! Embedded openings whose commitments are known from elsewhere, for self-tests of every back end.

use super::Point;
use crate::{field::Fr, secp256k1::known_answers::hex};

/// Openings with their commitments. 2 G is EIP-196's; the others were computed by a program of its own, H included, after RFC 9380 and
/// the textbook's group law.
pub(super) fn commitments() -> Vec<([Fr; 2], Point)> {
    let rows = [
        (
            [Fr::from_u64(2), Fr::ZERO],
            "030644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd3\
             15ed738c0e0a7c92e7845f96b2ae9c0a68a6a449e3538fc7ff3ebf7a5a18a2c4",
        ),
        (
            [Fr::ZERO, Fr::ONE],
            "2bdf1e408285f758a5ec9c1d9cf7ef9253655c534ba81d4a4885cfe99c800436\
             21e25ffdb90eb87e1f09fd225bcdee28847a1cddba3bbc2563c52044370955d5",
        ),
        (
            [
                Fr::from_u64(0x1234_5678_9abc_def0),
                Fr::from_u64(0xfedc_ba98_7654_3210),
            ],
            "1eeda1e8462365286aa4e0d1d598caa764306a5366add3c880702d449bee609f\
             04091c1d43d0c97319f6b7d461c6e85cb8248a5d1f19824868255a08b752be3e",
        ),
        (
            [-Fr::ONE, -Fr::from_u64(2)],
            "0bf2d1178812a1fc028688206917cf879278132601f9544b2e0dc1833edec933\
             06ac778b29c1c7acf95d2e5f74c88811eb3c6533d4871f82670cfde70a68a413",
        ),
        (
            [Fr::ZERO; 2],
            "0000000000000000000000000000000000000000000000000000000000000000\
             0000000000000000000000000000000000000000000000000000000000000000",
        ),
    ];
    rows.into_iter()
        .filter_map(|(opening, point)| Some((opening, Point::from_bytes(&hex(point)).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::{cpu::Level, field::Fr, pedersen};

    #[test]
    fn every_level_knows_them() {
        let (openings, points): (Vec<[Fr; 2]>, Vec<_>) =
            pedersen::known_answers().into_iter().unzip();
        assert_eq!(openings.len(), 5);
        for level in Level::ALL {
            assert_eq!(pedersen::commit_many_at(level, &openings), points);
            let many = openings.repeat(8);
            assert_eq!(pedersen::commit_many_at(level, &many), points.repeat(8));
        }
    }
}
