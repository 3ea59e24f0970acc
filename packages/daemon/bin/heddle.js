#!/usr/bin/env node
// Committed with its mode: what the compiler writes is not executable.
import '../dist/cli/main.js';
