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
    ("tracers", "erc7562Tracer.test_simple", ERC7562),
];

/// Of the tracer that looks for what ERC-4337 forbids.
const ERC7562: &str = "revm-inspectors' erc7562Tracer keeps hashed bytes with the frame that hashed them, leaves out code sizes that a CALL asks for and slots that were read before";

/// A whole block of 30 million gas at the largest price of 128 bits would cost 10^28 times all
/// ether there is.
const PRICE_OVER_128_BITS: &str =
    "its gas price does not fit in 128 bits, nobody could pay it; it is refused when it is read";

/// Why a test, named by its file and its name in it, does not pass.
pub fn reason(suite: &str, test: &str) -> Option<&'static str> {
    let name = test.rsplit('/').next().unwrap_or(test);
    EXCEPTIONS
        .iter()
        .find(|(of, excepted, _)| *of == suite && *excepted == name)
        .map(|(_, _, reason)| *reason)
}
