#!/usr/bin/env node
// The daemon is a part of heddle, which this starts.
'use strict';

// Removing a link keeps a thread of the pool busy for a while after the link has gone. Node.js makes the pool when it first
// loads an ECMAScript module, so this file must not be one.
process.env.UV_THREADPOOL_SIZE ??= '16';
process.argv.splice(2, 0, '__tun-daemon');
require('./heddle.js');
