// A list of named steps, printed as they pass. The first failure ends the process with status 1.
import assert from "node:assert/strict";

let passed = 0;

/** Runs one step; the text it answers is printed beside its name. */
export async function step(name, work) {
  const begin = performance.now();
  try {
    const note = await work();
    passed += 1;
    const spent = Math.round(performance.now() - begin);
    console.log(`  ok   ${name}${note ? `: ${note}` : ""} (${spent} ms)`);
  } catch (error) {
    console.log(`  FAIL ${name}`);
    console.log(error?.stack ?? String(error));
    process.exit(1);
  }
}

/** Ends the process well. */
export function done(title) {
  console.log(`${title}: ${passed} steps passed`);
  process.exit(0);
}

/** Waits until `probe` answers something true; throws after `limit` milliseconds. */
export async function eventually(what, probe, limit = 20_000) {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await probe();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** The error that `work` throws; an assertion failure when it does not throw. */
export async function failure(what, work) {
  try {
    await work();
  } catch (error) {
    return error;
  }
  assert.fail(`${what} should have failed and did not`);
}

/** A value of the environment that must be there. */
export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
}

/** A stop for a run that hangs. */
export function deadline(milliseconds) {
  setTimeout(() => {
    console.log(`  FAIL the run did not end within ${milliseconds} ms`);
    process.exit(1);
  }, milliseconds).unref();
}

/** The mnemonic that development tools share. */
export const MNEMONIC = "test test test test test test test test test test test junk";
/** Address of IMLDSA. */
export const MLDSA = "0x0000000000000000000000000000000000000602";
