//! What does not pass, with the reason. An excepted test that passes is a failure, so that this
//! list cannot outlive its reasons.

/// (suite, test, reason)
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "transaction tests",
        "TransactionWithHighGasPrice",
        PRICE_OVER_128_BITS,
    ),
    ("transaction tests", "V_equals38", PRICE_OVER_128_BITS),
    (
        "transaction tests",
        "GasLimitPriceProductOverflowtMinusOne",
        PRICE_OVER_128_BITS,
    ),
];

/// A whole block of 30 million gas at the largest price of 128 bits would cost 10^28 times all
/// ether there is.
const PRICE_OVER_128_BITS: &str =
    "its gas price does not fit in 128 bits, nobody could pay it; it is refused when it is read";

/// Creation at an address that has storage but neither nonce nor code.
const EIP_7610: &[&str] = &[
    "state_tests_paris_eip7610_create_collision/tests/paris/eip7610_create_collision/test_initcollision.py::test_init_collision_create_opcode[fork_Osaka-state_test-opcode_CREATE2-non-empty-balance-correct-initcode]",
    "state_tests_paris_eip7610_create_collision/tests/paris/eip7610_create_collision/test_initcollision.py::test_init_collision_create_tx[fork_Osaka-tx_type_0-state_test-non-empty-balance-correct-initcode]",
    "state_tests_paris_eip7610_create_collision/tests/paris/eip7610_create_collision/test_initcollision.py::test_init_collision_create_tx[fork_Osaka-tx_type_1-state_test-non-empty-balance-correct-initcode]",
    "state_tests_paris_eip7610_create_collision/tests/paris/eip7610_create_collision/test_initcollision.py::test_init_collision_create_tx[fork_Osaka-tx_type_1-state_test-non-empty-balance-revert-initcode]",
    "state_tests_paris_eip7610_create_collision/tests/paris/eip7610_create_collision/test_initcollision.py::test_init_collision_create_tx[fork_Osaka-tx_type_2-state_test-non-empty-balance-correct-initcode]",
    "state_tests_paris_eip7610_create_collision/tests/paris/eip7610_create_collision/test_initcollision.py::test_init_collision_create_tx[fork_Osaka-tx_type_2-state_test-non-empty-balance-revert-initcode]",
    "state_tests_static_stCreate2/tests/static/state_tests/stCreate2/create2collisionStorageParisFiller.json::create2collisionStorageParis[fork_Osaka-state_test-d0]",
    "state_tests_static_stExtCodeHash/tests/static/state_tests/stExtCodeHash/dynamicAccountOverwriteEmpty_ParisFiller.yml::dynamicAccountOverwriteEmpty_Paris[fork_Osaka-state_test-]",
];
const EIP_7610_SUITE: &str = "state tests of EIP-7610";
const EIP_7610_REASON: &str = "revm leaves out the collision with storage alone (EIP-7610) on purpose: no chain has such an account";

/// Tests of which some need the collision with storage alone, by a part of their names.
const EIP_7610_FAMILIES: &[&str] = &[
    "/eip7610_create_collision/",
    "::test_init_collision_create_opcode[",
    "::test_init_collision_create_tx[",
    "::create2collisionStorageParis[",
    "::dynamicAccountOverwriteEmpty_Paris[",
    "::RevertInCreateInInitCreate2Paris[",
    "::RevertInCreateInInit_Paris[",
    "InitCollision",
    "create2collisionStorage",
    "dynamicAccountOverwriteEmpty",
    "RevertInCreateInInit",
];

/// Why a test may fail, or pass.
pub fn leave(test: &str) -> Option<&'static str> {
    EIP_7610_FAMILIES
        .iter()
        .any(|part| test.contains(part))
        .then_some(EIP_7610_REASON)
}

/// Why a test, named by its file and its name in it, does not pass.
pub fn reason(suite: &str, test: &str) -> Option<&'static str> {
    if suite == EIP_7610_SUITE && EIP_7610.contains(&test) {
        return Some(EIP_7610_REASON);
    }
    let name = test.rsplit('/').next().unwrap_or(test);
    EXCEPTIONS
        .iter()
        .find(|(of, excepted, _)| *of == suite && *excepted == name)
        .map(|(_, _, reason)| *reason)
}
