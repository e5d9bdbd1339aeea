// Compiles the exchange of the node's benchmarks and writes its code beside it; with --check, only compares.
//   node lib/exchange.mjs [--check]
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "..", "..", "..", "benches", "benches", "node", "contracts");
const input = {
  language: "Solidity",
  sources: { "Exchange.sol": { content: readFileSync(join(folder, "Exchange.sol"), "utf8") } },
  settings: {
    evmVersion: "osaka",
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
if (output.errors?.length) {
  throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
}
for (const name of ["Token", "Pool"]) {
  const file = join(folder, `${name}.hex`);
  const code = `${output.contracts["Exchange.sol"][name].evm.deployedBytecode.object}\n`;
  if (!process.argv.includes("--check")) writeFileSync(file, code);
  else if (readFileSync(file, "utf8") !== code) throw new Error(`${file} is not what solc ${solc.version()} makes`);
  console.log(`${name}: ${(code.length - 1) / 2} bytes`);
}
