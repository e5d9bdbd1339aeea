//! Questions with answers from elsewhere.

use pars_kernels::field::Fr;
use pars_kernels::poseidon::Instance;

use super::PoseidonPath;

/// The element of a hexadecimal number, most significant digits first.
fn element(words: [u64; 4]) -> Fr {
    let [top, third, second, low] = words;
    Fr::from_limbs([low, second, third, top]).unwrap_or_default()
}

/// Lists and their hashes. Circomlib's are outputs of circomlibjs 0.1.7; the others come from an independent program of this
/// chain's sponge and of gnark's Merkle–Damgård, over the constants of zkhash 0.2.0 and of gnark's procedure.
pub(super) fn hashes() -> Vec<(Instance, Vec<Fr>, Fr)> {
    let lists: [(Instance, u64, [u64; 4]); 13] = [
        (
            Instance::Circom,
            2,
            [
                0x115c_c0f5_e7d6_9041,
                0x3df6_4c6b_9662_e9cf,
                0x2a36_17f2_7432_4551,
                0x9e19_607a_4417_189a,
            ],
        ),
        (
            Instance::Circom,
            1,
            [
                0x2917_6100_eaa9_62bd,
                0xc1fe_6c65_4d6a_3c13,
                0x0e96_a4d1_168b_3384,
                0x8b89_7dc5_0282_0133,
            ],
        ),
        (
            Instance::Circom,
            3,
            [
                0x0e77_32d8_9e69_39c0,
                0xff03_d5e5_8dab_6302,
                0xf323_0e26_9dc5_b968,
                0xf725_df34_ab36_d732,
            ],
        ),
        (
            Instance::Circom,
            4,
            [
                0x299c_867d_b6c1_fdd7,
                0x9dce_fa40_e451_0b98,
                0x37e6_0ebb_1ce0_663d,
                0xbaa5_25df_6525_0465,
            ],
        ),
        (
            Instance::Circom,
            5,
            [
                0x0dab_9449_e4a1_398a,
                0x1522_4c0b_15a4_9d59,
                0x8b21_74d3_05a3_16c9,
                0x1812_5f8f_eeb1_23c0,
            ],
        ),
        (
            Instance::Circom,
            16,
            [
                0x1615_9a55_1cbb_6610,
                0x8281_a480_99ff_f949,
                0xae08_afd7_f1f2_ec06,
                0xde2f_fb96_b919_b765,
            ],
        ),
        (
            Instance::Poseidon2,
            3,
            [
                0x15c5_bbf1_c4f6_43d1,
                0x4fdf_940c_3d79_358b,
                0x2e9f_daa2_d9ae_e6c4,
                0x2555_fe0a_9f5e_f653,
            ],
        ),
        (
            Instance::Poseidon2,
            0,
            [
                0x2ed1_da00_b14d_635b,
                0xd35b_88ab_4939_0d5c,
                0x13c9_0da7_e9e3_a5f1,
                0xea69_cd87_a0aa_3e82,
            ],
        ),
        (
            Instance::Poseidon2,
            1,
            [
                0x1e4a_657b_5631_309b,
                0x732f_4762_fdf6_552c,
                0x266e_3b1c_6ec8_4c01,
                0xb65e_88bc_eac6_0efb,
            ],
        ),
        (
            Instance::Poseidon2,
            5,
            [
                0x2bcc_b67e_442f_a098,
                0x5c8b_374a_e03a_b4ec,
                0x838e_b46c_9a94_5656,
                0xbe29_38b6_293d_5bf8,
            ],
        ),
        (
            Instance::Gnark,
            2,
            [
                0x09d2_e656_ec51_44af,
                0x0711_a552_8a3a_f6eb,
                0xc908_d905_0b34_55ed,
                0xf3b5_d021_8820_875c,
            ],
        ),
        (
            Instance::Gnark,
            1,
            [
                0x1ae0_efd2_8c01_163c,
                0x0a58_4407_57ef_2339,
                0xaffb_1783_6ad3_b1fe,
                0xdaca_beaa_b56c_a0e2,
            ],
        ),
        (
            Instance::Gnark,
            3,
            [
                0x2217_b296_1d96_ae36,
                0xf9f7_701c_cfaa_e198,
                0xe00d_7246_805f_514f,
                0x8edb_13f7_f736_99bc,
            ],
        ),
    ];
    lists
        .into_iter()
        // Each list is 1, 2, 3 …
        .map(|(instance, length, hash)| {
            (instance, (1..=length).map(Fr::from_u64).collect(), element(hash))
        })
        .collect()
}

/// Paths that hold, and the same ones damaged. Circomlib's leads from 1 and 2 to their hash; the others from 1 at index 5 beside
/// 2, 3 and 4, by the same programs.
pub(super) fn paths() -> Vec<(PoseidonPath, bool)> {
    let roots: [(Instance, u64, &[u64], [u64; 4]); 3] = [
        (
            Instance::Poseidon2,
            5,
            &[2, 3, 4],
            [
                0x0ff9_eee0_8c52_0ac5,
                0x3d48_76c3_eee6_0487,
                0x0d22_3b33_20f6_b313,
                0x60bc_93ae_2f45_1dbd,
            ],
        ),
        (
            Instance::Circom,
            0,
            &[2],
            [
                0x115c_c0f5_e7d6_9041,
                0x3df6_4c6b_9662_e9cf,
                0x2a36_17f2_7432_4551,
                0x9e19_607a_4417_189a,
            ],
        ),
        (
            Instance::Gnark,
            5,
            &[2, 3, 4],
            [
                0x1165_119c_f2c8_afaa,
                0x71ac_07e8_8ddd_4c5b,
                0xa6e1_d101_c70b_4580,
                0xc91c_91d9_6f4b_03ec,
            ],
        ),
    ];
    let mut out = Vec::new();
    for (instance, index, siblings, root) in roots {
        let right = PoseidonPath {
            instance,
            root: element(root),
            leaf: Fr::ONE,
            index,
            siblings: siblings.iter().copied().map(Fr::from_u64).collect(),
        };
        let mut leaf = right.clone();
        leaf.leaf = Fr::from_u64(9);
        let mut moved = right.clone();
        moved.index ^= 1;
        let mut outside = right.clone();
        outside.index += 8;
        out.push((right, true));
        out.extend([leaf, moved, outside].map(|path| (path, false)));
    }
    out
}
