// Compiles contracts/Notary.sol with solc from npm. Run alone, it writes the result as JSON:
//   node lib/compile.mjs OUTPUT.json
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const folders = [join(here, "..", "contracts"), join(here, "..", "..", "..", "precompiles", "solidity")];

function source(name) {
  for (const folder of folders) {
    try {
      return { contents: readFileSync(join(folder, name), "utf8") };
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  return { error: `${name} is in none of ${folders.join(", ")}` };
}

/** The compiler's own name and version. */
export const compiler = `solc ${solc.version()}`;

/** Compiles Notary.sol; answers `{ abi, bytecode }`. Warnings are errors here. */
export function compileNotary() {
  const input = {
    language: "Solidity",
    sources: { "Notary.sol": { content: source("Notary.sol").contents } },
    settings: {
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: source }));
  if (output.errors?.length) {
    throw new Error(output.errors.map((error) => error.formattedMessage).join("\n"));
  }
  const notary = output.contracts["Notary.sol"].Notary;
  return { abi: notary.abi, bytecode: `0x${notary.evm.bytecode.object}` };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const target = process.argv[2];
  if (!target) throw new Error("usage: node lib/compile.mjs OUTPUT.json");
  mkdirSync(dirname(resolve(target)), { recursive: true });
  writeFileSync(target, JSON.stringify(compileNotary()));
  console.log(`compiled Notary.sol with ${compiler} into ${target}`);
}
