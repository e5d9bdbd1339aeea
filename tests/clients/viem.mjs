// viem against a running dev node: node viem.mjs http|ws
// Environment: PARS_HTTP_URL, PARS_WS_URL; PARS_VECTORS for the official cases.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  ContractFunctionRevertedError,
  InsufficientFundsError,
  NonceTooLowError,
  createPublicClient,
  createWalletClient,
  decodeEventLog,
  defineChain,
  getContractAddress,
  http,
  keccak256,
  parseEther,
  webSocket,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import { compileNotary, compiler } from "./lib/compile.mjs";
import { MNEMONIC, deadline, done, eventually, failure, required, step } from "./lib/steps.mjs";
import { validAndTampered } from "./lib/vectors.mjs";

const transport = process.argv[2] ?? "http";
deadline(120_000);
const { version } = JSON.parse(readFileSync(new URL("./node_modules/viem/package.json", import.meta.url)));
console.log(`viem ${version} over ${transport}, ${compiler}, node ${process.version}`);

const url = required(transport === "ws" ? "PARS_WS_URL" : "PARS_HTTP_URL");
const link = transport === "ws" ? webSocket(url) : http(url);
const pars = defineChain({
  id: 6133,
  name: "Pars",
  nativeCurrency: { name: "Pars", symbol: "PARS", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const reader = createPublicClient({ chain: pars, transport: link, pollingInterval: 100, cacheTime: 0 });
const account = (addressIndex) => mnemonicToAccount(MNEMONIC, { addressIndex });
const wallet = (owner) => createWalletClient({ account: owner, chain: pars, transport: link });
const alice = wallet(account(8));
const bob = wallet(account(9));
const { origin, valid, tampered } = validAndTampered();
const { abi, bytecode } = compileNotary();
const triple = (item) => [item.publicKey, item.message, item.signature];
async function mined(hash) {
  const receipt = await reader.waitForTransactionReceipt({ hash: await hash });
  assert.equal(receipt.status, "success");
  return receipt;
}

let notary;

await step("chain, balance and fees", async () => {
  assert.equal(await reader.getChainId(), 6133);
  assert.ok((await reader.getBalance({ address: alice.account.address })) >= parseEther("1000"));
  const fees = await reader.estimateFeesPerGas();
  const legacy = await reader.getGasPrice();
  const block = await reader.getBlock();
  assert.ok(fees.maxFeePerGas >= block.baseFeePerGas + fees.maxPriorityFeePerGas);
  const history = await reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
  assert.ok(history.baseFeePerGas.length >= 2);
  return `gas price ${legacy}, fee cap ${fees.maxFeePerGas}`;
});

await step("transfers of type 0, 1 and 2", async () => {
  const to = privateKeyToAccount(generatePrivateKey()).address;
  const kinds = [["legacy", "legacy"], ["eip2930", "eip2930"], ["eip1559", "eip1559"]];
  for (const [type, expected] of kinds) {
    const accessList = type === "eip2930" ? [{ address: to, storageKeys: [] }] : undefined;
    const receipt = await mined(alice.sendTransaction({ to, value: 5n, type, accessList }));
    assert.equal(receipt.type, expected);
    assert.equal(receipt.gasUsed, type === "eip2930" ? 23_400n : 21_000n);
  }
  assert.equal(await reader.getBalance({ address: to }), 15n);
  assert.equal(await reader.getTransactionCount({ address: alice.account.address }), 3);
});

await step("a contract is deployed", async () => {
  const receipt = await mined(alice.deployContract({ abi, bytecode }));
  notary = { address: receipt.contractAddress, abi };
  assert.equal(
    receipt.contractAddress.toLowerCase(),
    getContractAddress({ from: alice.account.address, nonce: 3n }).toLowerCase(),
  );
  assert.ok((await reader.getCode(notary)).length > 1000);
});

await step("reads: valid and tampered", async () => {
  const ask = (item) => reader.readContract({ ...notary, functionName: "ask", args: triple(item) });
  assert.equal(await ask(valid), true);
  assert.equal(await ask(tampered), false);
  return origin;
});

await step("writes: both verdicts are stored and reported", async () => {
  for (const item of [valid, tampered]) {
    const { request, result } = await reader.simulateContract({
      ...notary,
      account: alice.account,
      functionName: "check",
      args: triple(item),
    });
    assert.equal(result, item.valid);
    const receipt = await mined(alice.writeContract(request));
    const { eventName, args } = decodeEventLog({ abi, ...receipt.logs[0] });
    assert.equal(eventName, "Checked");
    assert.deepEqual(args, { by: alice.account.address, messageHash: keccak256(item.message), valid: item.valid });
  }
  assert.equal(await reader.readContract({ ...notary, functionName: "accepted" }), 1n);
  assert.equal(await reader.readContract({ ...notary, functionName: "rejected" }), 1n);
});

await step("revert reasons", async () => {
  const reverted = async (functionName, args) => {
    const error = await failure(functionName, () =>
      reader.simulateContract({ ...notary, account: alice.account, functionName, args }),
    );
    const cause = error.walk((inner) => inner instanceof ContractFunctionRevertedError);
    assert.ok(cause, String(error));
    return cause;
  };
  assert.equal((await reverted("refuse", [])).reason, "the notary refuses");
  const { data } = await reverted("requireAuthentic", triple(tampered));
  assert.equal(data.errorName, "NotAuthentic");
  assert.deepEqual(data.args, [keccak256(valid.message), 3309n]);
});

await step("refused transactions in the library's own words", async () => {
  const old = await failure("an old nonce", () =>
    alice.sendTransaction({ to: bob.account.address, nonce: 0, gas: 21_000n }),
  );
  assert.ok(old.walk((inner) => inner instanceof NonceTooLowError), String(old));
  const poor = wallet(privateKeyToAccount(generatePrivateKey()));
  const broke = await failure("no money", () =>
    poor.sendTransaction({ to: bob.account.address, value: 1n, gas: 21_000n, nonce: 0 }),
  );
  assert.ok(broke.walk((inner) => inner instanceof InsufficientFundsError), String(broke));
});

await step("blocks and events are watched", async () => {
  const [blocks, events] = [[], []];
  const problems = [];
  const onError = (error) => problems.push(error);
  const stopBlocks = reader.watchBlocks({ onBlock: (block) => blocks.push(block.number), onError });
  const stopEvents = reader.watchContractEvent({
    ...notary,
    eventName: "Checked",
    onLogs: (logs) => events.push(...logs),
    onError,
  });
  await new Promise((wake) => setTimeout(wake, 500));
  const receipt = await mined(bob.writeContract({ ...notary, functionName: "check", args: triple(valid) }));
  await eventually("the event", () => events.length >= 1);
  await eventually("the block", () => blocks.includes(receipt.blockNumber));
  assert.equal(events[0].transactionHash, receipt.transactionHash);
  assert.equal(events[0].args.by, bob.account.address);
  stopBlocks();
  stopEvents();
  assert.deepEqual(problems, []);
});

await step("logs of the past", async () => {
  const logs = await reader.getContractEvents({ ...notary, eventName: "Checked", fromBlock: 0n });
  assert.deepEqual(logs.map((log) => log.args.valid), [true, false, true]);
  const block = await reader.getBlock({ blockHash: logs[0].blockHash, includeTransactions: true });
  assert.equal(block.transactions[0].hash, logs[0].transactionHash);
});

done(`viem over ${transport}`);
