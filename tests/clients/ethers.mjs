// ethers v6 against a running dev node: node ethers.mjs http|ws
// Environment: PARS_HTTP_URL, PARS_WS_URL; PARS_VECTORS for all official cases.
import assert from "node:assert/strict";
import {
  Contract,
  ContractFactory,
  HDNodeWallet,
  Interface,
  JsonRpcProvider,
  Mnemonic,
  Wallet,
  WebSocketProvider,
  ZeroAddress,
  getCreateAddress,
  id,
  isError,
  keccak256,
  parseEther,
  parseUnits,
  toBeHex,
  version,
} from "ethers";
import { compileNotary, compiler } from "./lib/compile.mjs";
import { MLDSA, MNEMONIC, deadline, done, eventually, failure, required, step } from "./lib/steps.mjs";
import { validAndTampered } from "./lib/vectors.mjs";

const transport = process.argv[2] ?? "http";
deadline(150_000);
console.log(`ethers ${version} over ${transport}, ${compiler}, node ${process.version}`);

const provider =
  transport === "ws"
    ? new WebSocketProvider(required("PARS_WS_URL"), undefined, { cacheTimeout: -1 })
    : new JsonRpcProvider(required("PARS_HTTP_URL"), undefined, { cacheTimeout: -1 });
if (transport === "http") provider.pollingInterval = 100;

const account = (index) =>
  HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(MNEMONIC), `m/44'/60'/0'/0/${index}`).connect(provider);
const [alice, bob, carol] = [account(0), account(1), account(2)];
const { origin, cases, valid, tampered } = validAndTampered();
const notaryCode = compileNotary();
const mldsa = new Contract(
  MLDSA,
  [
    "function verify(bytes pk, bytes message, bytes sig) view returns (bool)",
    "function verifyWithContext(bytes pk, bytes message, bytes context, bytes sig) view returns (bool)",
    "error InvalidLength(uint256,uint256)",
  ],
  provider,
);
const triple = (item) => [item.publicKey, item.message, item.signature];
/** Waits for a receipt and insists on success. */
async function mined(sent) {
  const receipt = await (await sent).wait();
  assert.equal(receipt.status, 1);
  return receipt;
}

let notary;

await step("the chain names itself", async () => {
  const network = await provider.getNetwork();
  assert.equal(network.chainId, 6133n);
  assert.equal(await provider.send("net_version", []), "6133");
  assert.equal(await provider.send("eth_syncing", []), false);
  const client = await provider.send("web3_clientVersion", []);
  assert.match(client, /pars/i);
  assert.equal(await provider.send("web3_sha3", ["0x68656c6c6f"]), id("hello"));
  return `chain ${network.chainId}, ${client}`;
});

await step("the shared mnemonic's accounts are funded", async () => {
  for (let index = 0; index < 10; index += 1) {
    const { address } = account(index);
    assert.ok((await provider.getBalance(address, 0)) >= parseEther("1000"), `account ${index}`);
    assert.equal(await provider.getTransactionCount(address), 0);
  }
});

await step("fee data", async () => {
  const fees = await provider.getFeeData();
  const head = await provider.getBlock("latest");
  assert.ok(fees.gasPrice > 0n);
  assert.ok(fees.maxPriorityFeePerGas > 0n);
  assert.ok(fees.maxFeePerGas >= head.baseFeePerGas + fees.maxPriorityFeePerGas);
  assert.ok(head.baseFeePerGas > 0n);
  const history = await provider.send("eth_feeHistory", ["0x1", "latest", [50]]);
  assert.equal(history.baseFeePerGas.length, 2);
  assert.equal(history.reward.length, 1);
  return `base fee ${head.baseFeePerGas}, gas price ${fees.gasPrice}, tip ${fees.maxPriorityFeePerGas}`;
});

await step("a type 2 transfer moves exactly its value and its fee", async () => {
  const to = Wallet.createRandom().address;
  const value = parseEther("1.25");
  assert.equal(await provider.estimateGas({ from: alice.address, to, value }), 21_000n);
  const before = await provider.getBalance(alice.address);
  const begin = performance.now();
  const receipt = await mined(alice.sendTransaction({ to, value }));
  const waited = Math.round(performance.now() - begin);
  const block = await provider.getBlock(receipt.blockHash);
  const transaction = await provider.getTransaction(receipt.hash);
  assert.equal(receipt.type, 2);
  assert.equal(receipt.gasUsed, 21_000n);
  assert.equal(receipt.contractAddress, null);
  assert.equal(receipt.gasPrice, block.baseFeePerGas + transaction.maxPriorityFeePerGas);
  assert.equal(await provider.getBalance(to), value);
  assert.equal(await provider.getBalance(alice.address), before - value - receipt.gasUsed * receipt.gasPrice);
  assert.equal(await provider.getTransactionCount(alice.address), 1);
  assert.equal(transaction.blockHash, receipt.blockHash);
  assert.equal(transaction.from, alice.address);
  assert.equal(transaction.chainId, 6133n);
  assert.deepEqual([...block.transactions], [receipt.hash]);
  // The past is still there.
  assert.equal(await provider.getBalance(to, receipt.blockNumber - 1), 0n);
  return `receipt after ${waited} ms`;
});

await step("a type 0 transfer", async () => {
  const { gasPrice } = await provider.getFeeData();
  const receipt = await mined(bob.sendTransaction({ type: 0, to: carol.address, value: 7n, gasPrice }));
  const transaction = await provider.getTransaction(receipt.hash);
  assert.equal(receipt.type, 0);
  assert.equal(receipt.gasPrice, gasPrice);
  assert.equal(transaction.type, 0);
  assert.ok(transaction.signature.legacyChainId === 6133n);
  return `v ${transaction.signature.networkV}`;
});

await step("a type 1 transfer with an access list", async () => {
  const { gasPrice } = await provider.getFeeData();
  const accessList = [{ address: carol.address, storageKeys: [toBeHex(1, 32)] }];
  const receipt = await mined(bob.sendTransaction({ type: 1, to: carol.address, value: 8n, gasPrice, accessList }));
  const transaction = await provider.getTransaction(receipt.hash);
  assert.equal(receipt.type, 1);
  assert.equal(transaction.type, 1);
  assert.equal(receipt.gasUsed, 21_000n + 2_400n + 1_900n);
  assert.equal(transaction.accessList.length, 1);
});

await step("a contract compiled by solc is deployed", async () => {
  const nonce = await provider.getTransactionCount(alice.address);
  notary = await new ContractFactory(notaryCode.abi, notaryCode.bytecode, alice).deploy();
  const receipt = await notary.deploymentTransaction().wait();
  const address = await notary.getAddress();
  assert.equal(receipt.contractAddress, getCreateAddress({ from: alice.address, nonce }));
  assert.equal(receipt.contractAddress, address);
  assert.equal(receipt.to, null);
  assert.ok((await provider.getCode(address)).length > 1000);
  assert.equal(await provider.getCode(address, receipt.blockNumber - 1), "0x");
  assert.equal(await notary.MLDSA(), MLDSA);
  assert.equal(await provider.getCode(MLDSA), "0x01");
  return `${receipt.gasUsed} gas`;
});

await step("eth_call: the contract and the precompile itself tell valid from tampered", async () => {
  assert.equal(await notary.ask(...triple(valid)), true);
  assert.equal(await notary.ask(...triple(tampered)), false);
  assert.equal(await mldsa.verify(...triple(valid)), true);
  assert.equal(await mldsa.verify(...triple(tampered)), false);
  return origin;
});

await step("eth_call: every official case", async () => {
  let [yes, no, refused] = [0, 0, 0];
  const answer = (item) =>
    item.context === undefined
      ? mldsa.verify(...triple(item))
      : mldsa.verifyWithContext(item.publicKey, item.message, item.context, item.signature);
  for (let at = 0; at < cases.length; at += 30) {
    const some = cases.slice(at, at + 30);
    const answers = await Promise.allSettled(some.map(answer));
    answers.forEach(({ status, value, reason }, index) => {
      const item = some[index];
      const keyLength = item.publicKey.length / 2 - 1;
      const contextLength = item.context === undefined ? 0 : item.context.length / 2 - 1;
      if (status === "fulfilled") {
        assert.equal(value, item.valid, item.name);
        value ? (yes += 1) : (no += 1);
      } else {
        // Only what cannot be asked at all is a revert.
        assert.ok(isError(reason, "CALL_EXCEPTION"), `${item.name}: ${reason}`);
        assert.ok(keyLength !== 1952 || contextLength > 255, `${item.name} reverted: ${reason}`);
        assert.equal(item.valid, false);
        refused += 1;
      }
    });
  }
  return `${yes} valid, ${no} invalid, ${refused} refused`;
});

await step("transactions: the contract stores and reports both verdicts", async () => {
  const good = await mined(notary.check(...triple(valid)));
  const bad = await mined(notary.check(...triple(tampered)));
  const verdict = (receipt) => {
    assert.equal(receipt.logs.length, 1);
    const event = notary.interface.parseLog(receipt.logs[0]);
    assert.equal(event.name, "Checked");
    assert.equal(event.args.by, alice.address);
    assert.equal(event.args.messageHash, keccak256(valid.message));
    return event.args.valid;
  };
  assert.equal(verdict(good), true);
  assert.equal(verdict(bad), false);
  assert.equal(await notary.accepted(), 1n);
  assert.equal(await notary.rejected(), 1n);
  assert.equal(await notary.authentic(keccak256(valid.message)), true);
  const address = await notary.getAddress();
  assert.equal(await provider.getStorage(address, 0), toBeHex(1, 32));
  assert.equal(await provider.getStorage(address, 0, good.blockNumber - 1), toBeHex(0, 32));
  assert.equal(await notary.accepted({ blockTag: good.blockNumber - 1 }), 0n);
  return `${good.gasUsed} and ${bad.gasUsed} gas`;
});

await step("an estimate is enough and hardly more than was used", async () => {
  const estimate = await notary.check.estimateGas(...triple(valid));
  const receipt = await mined(notary.check(...triple(valid), { gasLimit: estimate }));
  assert.ok(receipt.gasUsed <= estimate);
  assert.ok(estimate <= (receipt.gasUsed * 110n) / 100n, `${estimate} estimated, ${receipt.gasUsed} used`);
  return `${estimate} estimated, ${receipt.gasUsed} used`;
});

await step("revert reasons: a text, a custom error, a panic, the precompile's own", async () => {
  const text = await failure("refuse()", () => notary.refuse());
  assert.ok(isError(text, "CALL_EXCEPTION"));
  assert.equal(text.reason, "the notary refuses");
  const data = notary.interface.encodeFunctionData("refuse");
  const raw = await failure("eth_call", () => provider.call({ to: notary.target, data }));
  assert.equal(raw.info.error.message, "execution reverted: the notary refuses");
  assert.equal(raw.info.error.code, 3);

  const custom = await failure("requireAuthentic", () => notary.requireAuthentic.staticCall(...triple(tampered)));
  assert.equal(custom.revert.name, "NotAuthentic");
  assert.deepEqual([...custom.revert.args], [keccak256(valid.message), 3309n]);

  const panic = await failure("divide", () => notary.divide(1, 0));
  assert.match(panic.reason, /DIVIDE_BY_ZERO/);

  const short = [valid.publicKey.slice(0, -2), valid.message, valid.signature];
  const inner = await failure("a short key", () => notary.ask(...short));
  assert.ok(inner.data.startsWith("0x5b7232fa"), `InvalidLength, not ${inner.data}`);
  const direct = await failure("a short key, asked directly", () => mldsa.verify(...short));
  assert.equal(direct.revert.name, "InvalidLength");

  const estimate = await failure("an estimate", () => notary.requireAuthentic.estimateGas(...triple(tampered)));
  assert.ok(isError(estimate, "CALL_EXCEPTION"));
  assert.equal(notary.interface.parseError(estimate.data).name, "NotAuthentic");
});

await step("a transaction that reverts is mined with status 0", async () => {
  const sent = await notary.requireAuthentic(...triple(tampered), { gasLimit: 600_000 });
  const error = await failure("the receipt", () => sent.wait());
  assert.ok(isError(error, "CALL_EXCEPTION"));
  const receipt = await provider.getTransactionReceipt(sent.hash);
  assert.equal(receipt.status, 0);
  assert.equal(receipt.logs.length, 0);
  assert.equal(await notary.accepted(), 2n);
});

await step("refused transactions in the library's own words", async () => {
  const to = carol.address;
  const nonce = await provider.getTransactionCount(alice.address);
  const old = await failure("an old nonce", () => alice.sendTransaction({ to, nonce: nonce - 1, gasLimit: 21_000 }));
  assert.ok(isError(old, "NONCE_EXPIRED"), String(old));

  const poor = Wallet.createRandom().connect(provider);
  const broke = await failure("no money", () => poor.sendTransaction({ to, value: 1n, gasLimit: 21_000 }));
  assert.ok(isError(broke, "INSUFFICIENT_FUNDS"), String(broke));

  const fees = { maxFeePerGas: parseUnits("100", "gwei"), maxPriorityFeePerGas: parseUnits("2", "gwei") };
  const ahead = { to, nonce: nonce + 1, gasLimit: 21_000, ...fees };
  const waiting = await alice.sendTransaction({ ...ahead, value: 1n });
  const cheap = await failure("a cheap replacement", () => alice.sendTransaction({ ...ahead, value: 2n }));
  assert.ok(isError(cheap, "REPLACEMENT_UNDERPRICED"), String(cheap));

  // The gap waits, a dearer one replaces it, and closing the gap mines both.
  assert.equal(await provider.getTransactionReceipt(waiting.hash), null);
  assert.equal((await provider.getTransaction(waiting.hash)).blockHash, null);
  const dearer = await alice.sendTransaction({
    ...ahead,
    value: 3n,
    maxFeePerGas: parseUnits("120", "gwei"),
    maxPriorityFeePerGas: parseUnits("3", "gwei"),
  });
  await mined(alice.sendTransaction({ to, nonce, value: 1n, gasLimit: 21_000, ...fees }));
  await mined(dearer);
  assert.equal(await provider.getTransaction(waiting.hash), null);
  assert.equal(await provider.getTransactionCount(alice.address), nonce + 2);

  const chain = await failure("another chain's transaction", async () => {
    const raw = await alice.signTransaction({ type: 2, chainId: 1, to, nonce: nonce + 2, gasLimit: 21_000, ...fees });
    await provider.broadcastTransaction(raw);
  });
  assert.match(chain.error?.message ?? chain.message, /chain id/i);
});

await step("logs by address, topic, block and range", async () => {
  const address = await notary.getAddress();
  const all = await notary.queryFilter(notary.filters.Checked(), 0, "latest");
  assert.deepEqual(all.map((log) => log.args.valid), [true, false, true]);
  assert.equal((await notary.queryFilter(notary.filters.Checked(alice.address), 0)).length, 3);
  assert.equal((await notary.queryFilter(notary.filters.Checked(bob.address), 0)).length, 0);
  assert.equal((await provider.getLogs({ address, blockHash: all[1].blockHash })).length, 1);
  assert.equal((await provider.getLogs({ address: ZeroAddress, fromBlock: 0 })).length, 0);
  const either = await provider.getLogs({ fromBlock: 0, topics: [[id("Nothing()"), notary.interface.getEvent("Checked").topicHash]] });
  assert.equal(either.length, 3);
  const only = await provider.getLogs({ address, fromBlock: all[1].blockNumber, toBlock: all[1].blockNumber });
  assert.equal(only.length, 1);
  assert.equal(only[0].transactionHash, all[1].transactionHash);
});

await step("filters kept by the node", async () => {
  const address = await notary.getAddress();
  const logs = await provider.send("eth_newFilter", [{ address }]);
  const blocks = await provider.send("eth_newBlockFilter", []);
  const receipt = await mined(notary.connect(bob).check(...triple(tampered)));
  const changes = await provider.send("eth_getFilterChanges", [logs]);
  assert.equal(changes.length, 1);
  assert.equal(changes[0].transactionHash, receipt.hash);
  assert.deepEqual(await provider.send("eth_getFilterChanges", [logs]), []);
  assert.equal((await provider.send("eth_getFilterLogs", [logs])).length, 1);
  assert.ok((await provider.send("eth_getFilterChanges", [blocks])).includes(receipt.blockHash));
  assert.equal(await provider.send("eth_uninstallFilter", [logs]), true);
  assert.equal(await provider.send("eth_uninstallFilter", [logs]), false);
  const gone = await failure("a removed filter", () => provider.send("eth_getFilterChanges", [logs]));
  assert.match(gone.error?.message ?? gone.message, /filter not found/);
});

await step("subscriptions: blocks, events and pending transactions arrive", async () => {
  const [blocks, events, pending] = [[], [], []];
  await provider.on("block", (number) => blocks.push(number));
  await notary.on("Checked", (by, messageHash, answer, payload) => events.push({ by, answer, hash: payload.log.transactionHash }));
  if (transport === "ws") await provider.on("pending", (hash) => pending.push(hash));
  // A listener over HTTP starts at the block it first polls.
  await new Promise((wake) => setTimeout(wake, 500));
  const one = await mined(notary.connect(bob).check(...triple(valid)));
  const two = await mined(notary.connect(carol).check(...triple(tampered)));
  await eventually("both events", () => events.length >= 2);
  assert.deepEqual(events, [
    { by: bob.address, answer: true, hash: one.hash },
    { by: carol.address, answer: false, hash: two.hash },
  ]);
  await eventually("both blocks", () => blocks.includes(one.blockNumber) && blocks.includes(two.blockNumber));
  assert.deepEqual(blocks, [...blocks].sort((a, b) => a - b));
  if (transport === "ws") {
    await eventually("both pending hashes", () => pending.includes(one.hash) && pending.includes(two.hash));
  }
  await notary.removeAllListeners();
  await provider.removeAllListeners();
  return `${blocks.length} blocks, ${events.length} events${transport === "ws" ? `, ${pending.length} pending` : ""}`;
});

await step("a hundred transactions at once from five senders", async () => {
  const senders = [3, 4, 5, 6, 7].map(account);
  const to = Wallet.createRandom().address;
  const sent = senders.flatMap((sender) =>
    Array.from({ length: 20 }, (_, nonce) =>
      sender.sendTransaction({
        to,
        nonce,
        value: 1n,
        gasLimit: 21_000,
        maxFeePerGas: parseUnits("100", "gwei"),
        maxPriorityFeePerGas: parseUnits("1", "gwei"),
      }),
    ),
  );
  const receipts = await Promise.all(sent.map(mined));
  assert.equal(await provider.getBalance(to), 100n);
  for (const sender of senders) assert.equal(await provider.getTransactionCount(sender.address), 20);
  return `in ${new Set(receipts.map((receipt) => receipt.blockNumber)).size} blocks`;
});

await step("a block full of signature checks", async () => {
  const senders = [3, 4, 5, 6, 7].map(account);
  const before = await notary.accepted();
  const sent = senders.flatMap((sender) =>
    Array.from({ length: 8 }, (_, index) =>
      notary.connect(sender).check(...triple(index % 2 ? tampered : valid), { nonce: 20 + index, gasLimit: 600_000 }),
    ),
  );
  const receipts = await Promise.all(sent.map(mined));
  receipts.forEach((receipt, index) => {
    assert.equal(new Interface(notaryCode.abi).parseLog(receipt.logs[0]).args.valid, index % 2 === 0);
  });
  assert.equal(await notary.accepted(), before + 20n);
  return `40 checks in ${new Set(receipts.map((receipt) => receipt.blockNumber)).size} blocks`;
});

await step("blocks follow each other and keep the time", async () => {
  const head = await provider.getBlock("latest", true);
  let child = head;
  while (child.number > 0) {
    const parent = await provider.getBlock(child.number - 1);
    assert.equal(child.parentHash, parent.hash);
    assert.ok(child.timestamp >= parent.timestamp);
    child = parent;
  }
  assert.ok(Math.abs(Date.now() / 1000 - head.timestamp) < 60, `head's time is ${head.timestamp}`);
  assert.equal(head.prefetchedTransactions.length, head.transactions.length);
  const [number, timestamp, chain] = await notary.clock({ blockTag: head.number });
  assert.deepEqual([number, timestamp, chain], [BigInt(head.number), BigInt(head.timestamp), 6133n]);
  for (const tag of ["safe", "finalized"]) assert.ok((await provider.getBlock(tag)).number <= (await provider.getBlockNumber()));
  return `${head.number} blocks`;
});

await step("what does not exist is null, not an error", async () => {
  const nothing = id("nothing");
  assert.equal(await provider.getBlock(nothing), null);
  assert.equal(await provider.getBlock(1_000_000), null);
  assert.equal(await provider.getTransaction(nothing), null);
  assert.equal(await provider.getTransactionReceipt(nothing), null);
  assert.equal(await provider.getCode(Wallet.createRandom().address), "0x");
});

done(`ethers over ${transport}`);
