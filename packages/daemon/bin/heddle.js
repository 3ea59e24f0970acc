#!/usr/bin/env node
// Committed with its mode: what the compiler writes is not executable.
'use strict';

const { statSync } = require('node:fs');
const { join } = require('node:path');

// After `tsc -b` alone the modules are newer than the bundle made of them; an installed package has only the bundle's age.
const builtAt = (path) => statSync(join(__dirname, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
const bundledAt = builtAt('../dist/bundle/heddle.js');
const isFresh = ['proto', 'host', 'tailnet', 'lab', 'daemon'].every(
  (name) => builtAt(`../../${name}/dist/.tsbuildinfo`) < bundledAt,
);

import(isFresh ? '../dist/bundle/heddle.js' : '../dist/cli/main.js');
