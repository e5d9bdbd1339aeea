// The official ML-DSA-65 cases: Wycheproof's whole file where the vectors are at hand,
// else the one case of it that official_case.json carries.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const FILE = join("mldsa", "wycheproof_mldsa_65_verify_test.json");
const hex = (digits) => `0x${digits ?? ""}`;

function locate() {
  const root = resolve(here, "..", "..", "..");
  const folders = [process.env.PARS_VECTORS, join(root, "..", "shared", "vectors")];
  return folders.filter(Boolean).map((folder) => join(folder, FILE)).find(existsSync);
}

/** `sig` with one bit turned over at the byte `at`. */
export function flip(sig, at) {
  const bytes = Buffer.from(sig.slice(2), "hex");
  bytes[at] ^= 1;
  return hex(bytes.toString("hex"));
}

/**
 * `{ origin, cases }`; a case is `{ name, publicKey, message, context, signature, valid }` in 0x hex.
 * `valid` is the official verdict. `context` is undefined where the case gives none.
 */
export function officialCases() {
  const file = locate();
  const data = JSON.parse(readFileSync(file ?? join(here, "official_case.json"), "utf8"));
  const cases = data.testGroups.flatMap((group) =>
    group.tests.map((test) => ({
      name: `${test.tcId} ${test.comment}`,
      publicKey: hex(group.publicKey),
      message: hex(test.msg),
      context: test.ctx === undefined ? undefined : hex(test.ctx),
      signature: hex(test.sig),
      valid: test.result === "valid",
    })),
  );
  const origin = file
    ? `Wycheproof ${FILE.split(/[\\/]/).pop()}, ${cases.length} cases`
    : `one embedded Wycheproof case (set PARS_VECTORS for all): ${data.source}`;
  return { origin, cases };
}

/** The first valid case without context, and the same with one bit of its signature turned over. */
export function validAndTampered() {
  const { origin, cases } = officialCases();
  const valid = cases.find((item) => item.valid && item.context === undefined);
  const tampered = { ...valid, signature: flip(valid.signature, 100), valid: false };
  return { origin, cases, valid, tampered };
}
