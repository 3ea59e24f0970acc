// Joins with the built library, asks a peer for a page and prints the milliseconds from the call to the first byte.
import { Tailnet } from '@heddle/tailnet';

const [controlUrl, host, port] = process.argv.slice(2);
const startedAt = performance.now();
const tailnet = await Tailnet.join({
  controlUrl,
  authKey: process.env.HEDDLE_AUTH_KEY,
  hostname: `join${process.pid}`,
});
const connection = await tailnet.dial(host, Number(port));
connection.write(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
await new Promise((resolve) => connection.once('data', resolve));
console.log(performance.now() - startedAt);
await tailnet.close();
