// Uniswap v4 as published on npm (@uniswap/v4-core: its own bytecode, pool manager and test routers)
// against a running dev node: node uniswap.mjs
// Environment: PARS_HTTP_URL.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  createPublicClient,
  createWalletClient,
  decodeFunctionResult,
  defineChain,
  encodeFunctionData,
  http,
  maxUint256,
  parseEther,
  parseEventLogs,
  zeroAddress,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { MNEMONIC, deadline, done, failure, required, step } from "./lib/steps.mjs";

deadline(120_000);
const folder = new URL("./node_modules/@uniswap/v4-core/", import.meta.url);
const { version } = JSON.parse(readFileSync(new URL("package.json", folder)));
console.log(`@uniswap/v4-core ${version} over http, node ${process.version}`);

/** A published contract: `{ abi, bytecode }`. */
function published(name) {
  const { abi, bytecode } = JSON.parse(readFileSync(new URL(`out/${name}.sol/${name}.json`, folder)));
  return { abi, bytecode: bytecode.object };
}

const url = required("PARS_HTTP_URL");
const pars = defineChain({
  id: 6133,
  name: "Pars",
  nativeCurrency: { name: "Pars", symbol: "PARS", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const account = mnemonicToAccount(MNEMONIC, { addressIndex: 7 });
const reader = createPublicClient({ chain: pars, transport: http(url), pollingInterval: 50, cacheTime: 0 });
const wallet = createWalletClient({ account, chain: pars, transport: http(url) });

async function mined(hash) {
  const receipt = await reader.waitForTransactionReceipt({ hash: await hash });
  assert.equal(receipt.status, "success");
  return receipt;
}

async function deploy(name, args) {
  const { abi, bytecode } = published(name);
  const { contractAddress, gasUsed } = await mined(wallet.deployContract({ abi, bytecode, args }));
  return { address: contractAddress, abi, gasUsed };
}

const write = (contract, functionName, args, value) =>
  mined(wallet.writeContract({ ...contract, functionName, args, value }));
const balance = (token, owner) =>
  token === zeroAddress
    ? reader.getBalance({ address: owner })
    : reader.readContract({ address: token, abi: erc20, functionName: "balanceOf", args: [owner] });

/** The two halves of a BalanceDelta. */
const halves = (delta) => [BigInt.asIntN(128, delta >> 128n), BigInt.asIntN(128, delta)];

const Q96 = 2n ** 96n;
const LIQUIDITY = parseEther("1");
const PAID = 10n ** 15n;
const erc20 = published("TestERC20").abi;
const settings = { takeClaims: false, settleUsingBurn: false };
// TickMath.MIN_SQRT_PRICE + 1 and MAX_SQRT_PRICE - 1
const LOWEST = 4295128740n;
const HIGHEST = 1461446703485210103287273052203988822378723970341n;
const swapParams = (zeroForOne, amountSpecified) => ({
  zeroForOne,
  amountSpecified,
  sqrtPriceLimitX96: zeroForOne ? LOWEST : HIGHEST,
});

/** What a pool at price 1 pays for `PAID` of either side, by the constant-product formula. */
function expected() {
  const afterFee = (PAID * 997_000n) / 1_000_000n;
  return (LIQUIDITY * afterFee) / (LIQUIDITY + afterFee);
}

let manager, liquidity, swapper, tokens, key, nativeKey;

await step("the published contracts are deployed", async () => {
  manager = await deploy("PoolManager", [account.address]);
  liquidity = await deploy("PoolModifyLiquidityTest", [manager.address]);
  swapper = await deploy("PoolSwapTest", [manager.address]);
  tokens = [await deploy("TestERC20", [parseEther("1000")]), await deploy("TestERC20", [parseEther("1000")])];
  tokens.sort((a, b) => (BigInt(a.address) < BigInt(b.address) ? -1 : 1));
  const pool = { fee: 3000, tickSpacing: 60, hooks: zeroAddress };
  key = { currency0: tokens[0].address, currency1: tokens[1].address, ...pool };
  nativeKey = { currency0: zeroAddress, currency1: tokens[0].address, ...pool };
  const code = await reader.getCode({ address: manager.address });
  assert.equal(await reader.readContract({ ...manager, functionName: "owner" }), account.address);
  return `PoolManager: ${(code.length - 2) / 2} bytes, ${manager.gasUsed} gas`;
});

await step("two pools are initialised, one with the chain's own coin", async () => {
  for (const pool of [key, nativeKey]) {
    const receipt = await write(manager, "initialize", [pool, Q96]);
    const [event] = parseEventLogs({ abi: manager.abi, logs: receipt.logs, eventName: "Initialize" });
    assert.equal(event.args.sqrtPriceX96, Q96);
    assert.equal(event.args.tick, 0);
    assert.equal(event.args.currency1.toLowerCase(), pool.currency1.toLowerCase());
  }
  const again = await failure("a second initialisation", () =>
    reader.simulateContract({ ...manager, account, functionName: "initialize", args: [key, Q96] }),
  );
  // The selector of Pool.PoolAlreadyInitialized(), which the manager's ABI does not list.
  assert.match(again.message, /0x7983c051/);
});

await step("liquidity is added through the published router", async () => {
  for (const token of tokens) {
    for (const spender of [liquidity, swapper]) await write(token, "approve", [spender.address, maxUint256]);
  }
  const range = { tickLower: -600, tickUpper: 600, liquidityDelta: LIQUIDITY, salt: `0x${"0".repeat(64)}` };
  for (const pool of [key, nativeKey]) {
    const before = await balance(pool.currency1, manager.address);
    const abi = liquidity.abi.filter((item) => item.name !== "modifyLiquidity" || item.inputs.length === 3);
    const value = pool === nativeKey ? parseEther("1") : 0n;
    const receipt = await write({ ...liquidity, abi }, "modifyLiquidity", [pool, range, "0x"], value);
    const [event] = parseEventLogs({ abi: manager.abi, logs: receipt.logs, eventName: "ModifyLiquidity" });
    assert.equal(event.args.liquidityDelta, LIQUIDITY);
    const paid = (await balance(pool.currency1, manager.address)) - before;
    // L (1 - 1 / sqrt(1.0001^600)) of each side at price 1, rounded up.
    const share = Number(paid) / Number(LIQUIDITY);
    assert.ok(Math.abs(share - (1 - 1 / Math.sqrt(1.0001 ** 600))) < 1e-12, `${share}`);
  }
});

await step("a swap pays what the formula says", async () => {
  const args = [key, swapParams(true, -PAID), settings, "0x"];
  const { result } = await reader.simulateContract({ ...swapper, account, functionName: "swap", args });
  const data = encodeFunctionData({ abi: swapper.abi, functionName: "swap", args });
  const call = { account, to: swapper.address, data };
  const gas = await reader.estimateGas(call);
  const before = await Promise.all(tokens.map(({ address }) => balance(address, account.address)));
  const [simulated] = await reader.simulateBlocks({ blocks: [{ calls: [{ ...call, from: account.address }] }] });
  const receipt = await mined(wallet.writeContract({ ...swapper, functionName: "swap", args, gas }));
  const after = await Promise.all(tokens.map(({ address }) => balance(address, account.address)));
  const moved = [after[0] - before[0], after[1] - before[1]];
  assert.equal(moved[0], -PAID);
  const difference = moved[1] - expected();
  assert.ok(difference >= -2n && difference <= 0n, `${moved[1]} is not ${expected()}`);
  // Call, simulation and event foretold it.
  assert.deepEqual(halves(result), moved);
  const foretold = decodeFunctionResult({ abi: swapper.abi, functionName: "swap", data: simulated.calls[0].data });
  assert.equal(foretold, result);
  assert.equal(simulated.calls[0].gasUsed, receipt.gasUsed);
  assert.equal(simulated.calls[0].logs.length, receipt.logs.length);
  const [event] = parseEventLogs({ abi: manager.abi, logs: receipt.logs, eventName: "Swap" });
  assert.deepEqual([event.args.amount0, event.args.amount1], moved);
  // The trace is of the same run.
  const trace = await reader.request({
    method: "debug_traceTransaction",
    params: [receipt.transactionHash, { tracer: "callTracer", tracerConfig: { withLog: true } }],
  });
  assert.equal(BigInt(trace.gasUsed), receipt.gasUsed);
  assert.equal(trace.calls[0].to, manager.address.toLowerCase());
  const logs = (frame) => (frame.logs ?? []).length + (frame.calls ?? []).reduce((sum, inner) => sum + logs(inner), 0);
  assert.equal(logs(trace), receipt.logs.length);
  return `${moved[1]} for ${PAID}, ${receipt.gasUsed} gas, estimate ${gas}`;
});

await step("a swap of the chain's own coin, and back", async () => {
  const token = nativeKey.currency1;
  const before = await balance(token, account.address);
  await write(swapper, "swap", [nativeKey, swapParams(true, -PAID), settings, "0x"], PAID);
  const got = (await balance(token, account.address)) - before;
  assert.ok(expected() - got <= 2n && got <= expected());
  const coins = await balance(zeroAddress, account.address);
  const receipt = await write(swapper, "swap", [nativeKey, swapParams(false, -got), settings, "0x"]);
  const fee = receipt.gasUsed * receipt.effectiveGasPrice;
  const back = (await balance(zeroAddress, account.address)) + fee - coins;
  // Two fees of 0.3 % are lost.
  assert.ok(back < (PAID * 9945n) / 10000n && back > (PAID * 9930n) / 10000n, `${back}`);
  assert.equal(await balance(token, account.address), before);
});

await step("liquidity is taken out with the fees it earned", async () => {
  const abi = liquidity.abi.filter((item) => item.name !== "modifyLiquidity" || item.inputs.length === 3);
  const range = { tickLower: -600, tickUpper: 600, liquidityDelta: -LIQUIDITY, salt: `0x${"0".repeat(64)}` };
  for (const pool of [key, nativeKey]) {
    await write({ ...liquidity, abi }, "modifyLiquidity", [pool, range, "0x"]);
  }
  // What stays is dust of rounding.
  for (const { address } of tokens) assert.ok((await balance(address, manager.address)) < 10n);
  assert.ok((await balance(zeroAddress, manager.address)) < 10n);
});

done("uniswap v4");
