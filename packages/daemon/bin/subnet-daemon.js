#!/usr/bin/env node
// The daemon is a part of heddle, which this starts.
// Removing a link keeps a thread of the pool busy for a while after it is gone.
process.env.UV_THREADPOOL_SIZE ??= '16';
process.argv.splice(2, 0, '__subnet-daemon');
await import('./heddle.js');
