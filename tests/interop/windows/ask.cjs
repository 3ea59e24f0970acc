// Run by Windows' Node.js, for Linux cannot open its pipes: ask.cjs PIPE REQUEST… sends JSON lines and prints the answers.
const { connect } = require('node:net');

const [, , pipe, ...requests] = process.argv;
const socket = connect({ path: pipe, allowHalfOpen: true });
let text = '';
socket.setEncoding('utf8').on('data', (chunk) => {
  text += chunk;
  if (text.split('\n').length > requests.length) socket.end();
});
socket.on('end', () => process.stdout.write(text));
socket.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
socket.write(requests.map((request) => `${request}\n`).join(''));
