// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// An ERC-20 token with the storage that most have: balances in slot 0, allowances in slot 1.
contract Token {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error InsufficientBalance(address holder, uint256 balance, uint256 value);
    error InsufficientAllowance(address spender, uint256 allowance, uint256 value);

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < value) revert InsufficientAllowance(msg.sender, allowed, value);
            unchecked {
                allowance[from][msg.sender] = allowed - value;
            }
        }
        move(from, to, value);
        return true;
    }

    function move(address from, address to, uint256 value) private {
        uint256 balance = balanceOf[from];
        if (balance < value) revert InsufficientBalance(from, balance, value);
        unchecked {
            balanceOf[from] = balance - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}

/// A pool of two tokens whose product stays constant but for a fee of 0.3 %, with prices accumulated over time.
/// Slots: 0 and 1 the tokens, 2 the reserves and the time of the last change, 3 and 4 the accumulated prices.
contract Pool {
    Token public token0;
    Token public token1;
    uint112 private reserve0;
    uint112 private reserve1;
    uint32 private changed;
    uint256 public price0Cumulative;
    uint256 public price1Cumulative;
    bool private transient entered;

    event Swap(address indexed sender, address indexed to, bool zeroForOne, uint256 amountIn, uint256 amountOut);
    event Sync(uint112 reserve0, uint112 reserve1);

    error Entered();
    error TooLittle(uint256 amountOut, uint256 minimum);
    error TooMuch();
    error Product();

    function swap(bool zeroForOne, uint256 amountIn, uint256 minimum, address to)
        external
        returns (uint256 amountOut)
    {
        if (entered) revert Entered();
        entered = true;
        (uint256 from0, uint256 from1) = (reserve0, reserve1);
        amountOut = zeroForOne ? quote(amountIn, from0, from1) : quote(amountIn, from1, from0);
        if (amountOut < minimum) revert TooLittle(amountOut, minimum);
        exchange(zeroForOne, amountIn, amountOut, to);
        update(from0, from1);
        emit Swap(msg.sender, to, zeroForOne, amountIn, amountOut);
        entered = false;
    }

    function quote(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) private pure returns (uint256) {
        uint256 afterFee = amountIn * 997;
        return afterFee * reserveOut / (reserveIn * 1000 + afterFee);
    }

    function exchange(bool zeroForOne, uint256 amountIn, uint256 amountOut, address to) private {
        (Token tokenIn, Token tokenOut) = zeroForOne ? (token0, token1) : (token1, token0);
        tokenIn.transferFrom(msg.sender, address(this), amountIn);
        tokenOut.transfer(to, amountOut);
    }

    function update(uint256 from0, uint256 from1) private {
        uint256 balance0 = token0.balanceOf(address(this));
        uint256 balance1 = token1.balanceOf(address(this));
        if (balance0 * balance1 < from0 * from1) revert Product();
        if (balance0 > type(uint112).max || balance1 > type(uint112).max) revert TooMuch();
        uint32 time = uint32(block.timestamp);
        unchecked {
            uint32 elapsed = time - changed;
            if (elapsed > 0 && from0 != 0 && from1 != 0) {
                price0Cumulative += (from1 << 112) / from0 * elapsed;
                price1Cumulative += (from0 << 112) / from1 * elapsed;
            }
        }
        (reserve0, reserve1, changed) = (uint112(balance0), uint112(balance1), time);
        emit Sync(uint112(balance0), uint112(balance1));
    }
}
