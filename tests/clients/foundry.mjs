// Foundry's cast and forge, from npm, against a running dev node: node foundry.mjs
// Environment: PARS_HTTP_URL.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { HDNodeWallet } from "ethers";
import { MNEMONIC, deadline, done, failure, required, step } from "./lib/steps.mjs";

deadline(120_000);
const here = fileURLToPath(new URL(".", import.meta.url));
const url = required("PARS_HTTP_URL");
const key = (index) => HDNodeWallet.fromPhrase(MNEMONIC, "", `m/44'/60'/0'/0/${index}`);
const [alice, bob] = [key(5), key(6)];
const nobody = "0x00000000000000000000000000000000000000be";

/** A folder of this run's own: forge writes beside what it compiles. */
const project = mkdtempSync(join(tmpdir(), "pars-foundry-"));
process.on("exit", () => rmSync(project, { recursive: true, force: true }));
cpSync(join(here, "foundry"), project, { recursive: true });
// forge wants a program named solc; npm's compiler does not know the flags about folders, which do
// not matter where all sources are in the JSON.
const solc = join(project, "solc");
const compiler = `exec "${process.execPath}" "${join(here, "node_modules/solc/solc.js")}"`;
writeFileSync(
  solc,
  `#!/bin/sh\ncase "$*" in *--version*) ${compiler} --version ;; esac\n${compiler.slice(5)} --standard-json | grep -v "^>>> "\n`,
);
chmodSync(solc, 0o755);

/** The program inside the package for this platform. */
function program(name) {
  const scope = join(here, "node_modules", "@foundry-rs");
  const found = readdirSync(scope).find((folder) => folder.startsWith(`${name}-`));
  if (!found) throw new Error(`npm has no ${name} for ${process.platform} ${process.arch}`);
  return join(scope, found, "bin", name);
}

const run = promisify(execFile);
async function foundry(name, args) {
  const environment = {
    PATH: process.env.PATH,
    HOME: project,
    ETH_RPC_URL: url,
    FOUNDRY_DISABLE_NIGHTLY_WARNING: "1",
    NO_COLOR: "1",
  };
  const { stdout } = await run(program(name), args, { cwd: project, env: environment, maxBuffer: 1 << 26 });
  return stdout.trim();
}
const cast = (...args) => foundry("cast", args);
const forge = (...args) => foundry("forge", args);
const send = async (wallet, ...args) => JSON.parse(await cast("send", "--json", "--private-key", wallet.privateKey, ...args));
const first = (text) => text.split(/\s/)[0];

console.log(`${(await cast("--version")).split("\n")[0]}, ${(await forge("--version")).split("\n")[0]}`);

let tally;

await step("cast reads chain, blocks, fees and accounts", async () => {
  assert.equal(await cast("chain-id"), "6133");
  assert.match(await cast("client"), /^parsd\//);
  assert.match(await cast("block-number"), /^\d+$/);
  assert.ok(BigInt(await cast("gas-price")) > 0n);
  assert.ok(BigInt(await cast("balance", alice.address)) > 0n);
  assert.equal(await cast("nonce", alice.address), "0");
  assert.match(await cast("block", "latest"), /baseFeePerGas/);
});

await step("cast sends transfers of every type a wallet signs", async () => {
  for (const [type, flags] of [["0x0", ["--legacy"]], ["0x2", ["--access-list"]], ["0x2", []]]) {
    const receipt = await send(alice, nobody, "--value", "5", ...flags);
    assert.equal(receipt.status, "0x1");
    assert.equal(receipt.type, type);
  }
  assert.equal(await cast("balance", nobody), "15");
  assert.equal(await cast("nonce", alice.address), "3");
  // EIP-7702: alice's account takes the code of a precompile's address for a moment.
  const auth = await cast("wallet", "sign-auth", "--private-key", bob.privateKey, nobody);
  const receipt = await send(alice, bob.address, "--auth", auth);
  assert.equal(receipt.type, "0x4");
  assert.equal(await cast("code", bob.address), `0xef0100${nobody.slice(2)}`);
});

await step("forge compiles and deploys", async () => {
  const said = await forge(
    "create", "src/Tally.sol:Tally", "--use", solc, "--broadcast", "--json", "--private-key", alice.privateKey,
  );
  tally = JSON.parse(said.slice(said.indexOf("{"))).deployedTo;
  assert.equal((await cast("call", tally, "owner()(address)")).toLowerCase(), alice.address.toLowerCase());
});

await step("cast calls, estimates, sends and reads logs", async () => {
  const count = [tally, "count(string,uint256)(uint256)", "pears", "7"];
  assert.equal(await cast("call", ...count), "7");
  const gas = await cast("estimate", "--from", alice.address, tally, "count(string,uint256)", "pears", "7");
  const receipt = await send(alice, "--gas-limit", gas, tally, "count(string,uint256)", "pears", "7");
  assert.equal(receipt.status, "0x1");
  assert.equal(receipt.logs.length, 1);
  assert.equal(await cast("call", tally, "total(string)(uint256)", "pears"), "7");
  const logs = JSON.parse(
    await cast("logs", "--json", "--from-block", "0", "--address", tally, "Counted(string,uint256)"),
  );
  assert.equal(logs.length, 1);
  assert.equal(logs[0].transactionHash, receipt.transactionHash);
  const list = await cast("access-list", "--from", alice.address, tally, "count(string,uint256)", "pears", "1");
  assert.match(list, /gas used/);
  const refused = await failure("counting nothing", () => cast("call", tally, "count(string,uint256)(uint256)", "pears", "0"));
  assert.match(refused.stderr, /execution reverted/);
  const proof = JSON.parse(await cast("proof", tally, "0x0"));
  assert.equal(proof.address, tally.toLowerCase());
  // cast fetches what the transaction needs and runs it again itself.
  const again = await cast("run", "--quick", receipt.transactionHash);
  assert.match(again, new RegExp(`Gas used: ${Number(receipt.gasUsed)}`));
  const trace = JSON.parse(await cast("rpc", "debug_traceTransaction", receipt.transactionHash));
  assert.equal(trace.gas, Number(receipt.gasUsed));
});

await step("forge scripts send several transactions in order", async () => {
  const said = await forge(
    "script", "script/Deploy.s.sol:Deploy", "--use", solc, "--broadcast", "--slow",
    "--rpc-url", url, "--private-key", bob.privateKey,
  );
  assert.match(said, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
  const log = JSON.parse(readFileSync(join(project, "broadcast/Deploy.s.sol/6133/run-latest.json")));
  assert.equal(log.receipts.length, 3);
  assert.ok(log.receipts.every((receipt) => receipt.status === "0x1"));
  const deployed = log.transactions[0].contractAddress;
  assert.equal(await cast("call", deployed, "total(string)(uint256)", "apples"), "7");
  return first(deployed);
});

done("foundry");
