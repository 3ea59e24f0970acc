// Puts the compiled command into a few files, which start in half the time (docs/adr/0003-bundle.md). It takes what
// `tsc -b` has written; `npm run build` runs both.

import { renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const target = fileURLToPath(new URL('./dist/bundle', import.meta.url));
const draft = `${target}.new`;

/** What the commands need is one file, what an engine needs is another; what both need seldom stays out of the first. */
const groups = [
  { name: 'state', test: /[\\/](remembered-server|state-document)\.js$/, priority: 4 },
  // What the daemon has in common with an engine, without the rest of the engine.
  {
    name: 'server',
    test: /[\\/]daemon[\\/]dist[\\/](process[\\/]|socket[\\/](?!control-client|json-lines))/,
    priority: 3,
  },
  {
    name: 'addresses',
    test: /[\\/](proto[\\/]dist[\\/](ip|bytes)|tailnet[\\/]dist[\\/]proxy[\\/]listen-spec)/,
    priority: 3,
  },
  {
    name: 'commands',
    test: /[\\/]daemon[\\/]dist[\\/](schema[\\/](?!interface-)|config[\\/]config-files|cli[\\/](?!main|program|help-reader|failure|run-|rest-|token-file|commands[\\/](lab|foreground|teams|state|service|registration|tun|subnet)))/,
    priority: 2,
  },
  { name: 'engine', test: /[\\/]daemon[\\/]dist[\\/]engine[\\/]/, priority: 1 },
];

const bundle = await rolldown({
  input: { heddle: fileURLToPath(new URL('./dist/cli/main.js', import.meta.url)) },
  platform: 'node',
  // Native code, loaded by `require` when it is first needed.
  external: ['koffi', 'classic-level'],
  logLevel: 'warn',
  // Commands in one file cannot be loaded apart; the modules as compiled can.
  checks: { ineffectiveDynamicImport: false },
});
rmSync(draft, { recursive: true, force: true });
await bundle.write({
  dir: draft,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  codeSplitting: { groups },
});
rmSync(target, { recursive: true, force: true });
renameSync(draft, target);
