import { setFlagsFromString } from 'node:v8';

/** Not while the engine starts: what runs once would be compiled too, and starting took 15 ms longer. */
const DELAY_MS = 2000;

/**
 * Makes V8 compile sooner once the engine has started, in a process that is ours alone. A proxy handles few packets a
 * second for hours, and its first thousand connections should not pay for being among the first (bench/).
 */
export function planCompilingSooner(): void {
  setTimeout(compileSooner, DELAY_MS).unref();
}

function compileSooner(): void {
  const major = Number.parseInt(process.versions.node, 10);
  // V8 complains on standard error about a flag it does not know, so only where it is known to be.
  if (major === 20) setFlagsFromString('--interrupt-budget=10000');
  else if (major >= 22 && major <= 26) setFlagsFromString('--invocation-count-for-turbofan=500');
}
