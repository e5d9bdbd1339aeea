// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Tally} from "../src/Tally.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Deploys a tally and counts twice, as three transactions.
contract Deploy {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bool public constant IS_SCRIPT = true;

    function run() external returns (Tally tally) {
        vm.startBroadcast();
        tally = new Tally();
        tally.count("apples", 3);
        tally.count("apples", 4);
        vm.stopBroadcast();
    }
}
