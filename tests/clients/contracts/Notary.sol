// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IMLDSA} from "IMLDSA.sol";

/// Stores and reports what the ML-DSA precompile said about a signature.
contract Notary {
    IMLDSA public constant MLDSA = IMLDSA(0x0000000000000000000000000000000000000602);

    /// A signature that had to be valid was not.
    error NotAuthentic(bytes32 messageHash, uint256 signatureLength);

    event Checked(address indexed by, bytes32 indexed messageHash, bool valid);

    uint256 public accepted;
    uint256 public rejected;
    mapping(bytes32 => bool) public authentic;

    /// Asks, stores and reports either answer.
    function check(bytes calldata pk, bytes calldata message, bytes calldata sig) external returns (bool valid) {
        valid = MLDSA.verify(pk, message, sig);
        bytes32 messageHash = keccak256(message);
        if (valid) {
            accepted++;
            authentic[messageHash] = true;
        } else {
            rejected++;
        }
        emit Checked(msg.sender, messageHash, valid);
    }

    /// Asks without writing.
    function ask(bytes calldata pk, bytes calldata message, bytes calldata sig) external view returns (bool) {
        return MLDSA.verify(pk, message, sig);
    }

    /// Reverts with a custom error unless the signature is valid.
    function requireAuthentic(bytes calldata pk, bytes calldata message, bytes calldata sig) external {
        if (!MLDSA.verify(pk, message, sig)) {
            revert NotAuthentic(keccak256(message), sig.length);
        }
        accepted++;
    }

    /// Reverts with a text.
    function refuse() external pure {
        revert("the notary refuses");
    }

    /// Divides, so that a zero raises Solidity's own panic.
    function divide(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }

    /// The clock of the block.
    function clock() external view returns (uint256 number, uint256 timestamp, uint256 chainId) {
        return (block.number, block.timestamp, block.chainid);
    }
}
