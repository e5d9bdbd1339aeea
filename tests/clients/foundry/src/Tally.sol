// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Counts by name, and refuses to count nothing.
contract Tally {
    event Counted(string indexed what, uint256 total);

    error NothingCounted(address sender);

    mapping(string => uint256) public total;
    address public immutable owner = msg.sender;

    function count(string calldata what, uint256 by) external returns (uint256) {
        if (by == 0) revert NothingCounted(msg.sender);
        total[what] += by;
        emit Counted(what, total[what]);
        return total[what];
    }
}
