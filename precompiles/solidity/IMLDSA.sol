// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity >=0.8.4;

/// @title ML-DSA signatures (FIPS 204)
/// @notice The precompile at 0x0000000000000000000000000000000000000602.
///
///     mode  set        public key  secret key  signature
///     2     ML-DSA-44       1,312       2,560      2,420 bytes
///     3     ML-DSA-65       1,952       4,032      3,309 bytes
///     5     ML-DSA-87       2,592       4,896      4,627 bytes
///
/// The set follows from the length of the key. Secret keys are in the expanded form of FIPS 204, Algorithm 24.
/// `keyGen(uint8)` has the same selector on the ML-KEM precompile: check the lengths of what comes back.
///
/// @dev EVERYTHING IN A TRANSACTION IS PUBLIC FOR EVER. A key made by `keyGen` or handed to `sign` in a transaction is
/// not secret. To make a real key, call `keyGen` directly with `eth_call` on your own node.
///
/// No function takes value. Every call uses at least 100 gas.
interface IMLDSA {
    /// The calldata begins with no function of this interface.
    error InvalidSelector();
    /// The arguments are not the ABI encoding of the function's types.
    error InvalidEncoding();
    /// `mode` is not 2, 3 or 5.
    error InvalidParameterSet(uint8 mode);
    /// A key, or an array of a batch, has an impossible length; `expected` is the closest permitted one.
    error InvalidLength(uint256 given, uint256 expected);
    /// More than 256 signatures in a batch, 255 bytes of context or 64 MiB of arguments.
    error LimitExceeded(uint256 given, uint256 limit);
    /// A coefficient of the secret key is out of range.
    error InvalidKey();
    /// No signature was found in 814 attempts: the secret key is not an honest one.
    error SigningFailed();
    /// The call carries value.
    error NotPayable();
    /// `keyGen` keeps a counter, so it must be called directly.
    error DelegateCallNotAllowed();
    /// This chain refuses functions that make or take secret keys.
    error SecretOperation(bytes4 selector);

    /// @notice Makes a key pair from entropy derived from the block and the transaction, which anyone can recompute.
    /// @dev Gas 8,600 / 13,800 / 22,000 for modes 2 / 3 / 5. In a static frame two calls with the same arguments make
    /// the same key.
    /// @param mode 2, 3 or 5.
    /// @return pk The public key.
    /// @return sk The secret key.
    function keyGen(uint8 mode) external returns (bytes memory pk, bytes memory sk);

    /// @notice Makes the key pair of a seed, ML-DSA.KeyGen_internal of FIPS 204.
    /// @dev Gas as for `keyGen`. A pure function of its arguments.
    /// @param mode 2, 3 or 5.
    /// @param xi The seed.
    /// @return pk The public key.
    /// @return sk The secret key.
    function keyGenFromSeed(uint8 mode, bytes32 xi) external view returns (bytes memory pk, bytes memory sk);

    /// @notice Signs with an empty context, deterministically.
    /// @dev Gas 5,000 / 8,500 / 14,000 by the set, 5,800 / 8,500 / 12,000 more for each attempt, four or five on
    /// average, and 4 for each word of the message. The number of attempts depends on the arguments alone, so an
    /// estimate is exact.
    /// @param sk The secret key.
    /// @param message The message.
    /// @return sig The signature.
    function sign(bytes calldata sk, bytes calldata message) external view returns (bytes memory sig);

    /// @notice Signs with a context, deterministically.
    /// @dev Gas as for `sign`.
    /// @param sk The secret key.
    /// @param message The message.
    /// @param context At most 255 bytes.
    /// @return sig The signature.
    function signWithContext(bytes calldata sk, bytes calldata message, bytes calldata context)
        external
        view
        returns (bytes memory sig);

    /// @notice Whether `sig` is a valid signature of `message` with an empty context.
    /// @dev Gas 6,300 / 9,500 / 16,500 by the set, and 4 for each word of the message. Reverts only if no set has
    /// public keys of this length; a malformed signature is not valid.
    /// @param pk The public key.
    /// @param message The message.
    /// @param sig The signature.
    /// @return valid The verdict.
    function verify(bytes calldata pk, bytes calldata message, bytes calldata sig) external view returns (bool valid);

    /// @notice Whether `sig` is a valid signature of `message` with this context.
    /// @dev Gas as for `verify`.
    /// @param pk The public key.
    /// @param message The message.
    /// @param context At most 255 bytes.
    /// @param sig The signature.
    /// @return valid The verdict.
    function verifyWithContext(bytes calldata pk, bytes calldata message, bytes calldata context, bytes calldata sig)
        external
        view
        returns (bool valid);

    /// @notice A verdict for each of up to 256 signatures, with empty contexts.
    /// @dev Gas: the sum over the items of what `verify` costs. One invalid item disturbs no other; a public key of
    /// impossible length reverts the whole batch.
    /// @param pks The public keys.
    /// @param messages As many messages.
    /// @param sigs As many signatures.
    /// @return valid The verdicts, in order.
    function verifyBatch(bytes[] calldata pks, bytes[] calldata messages, bytes[] calldata sigs)
        external
        view
        returns (bool[] memory valid);
}
