// Asks for one page over and over, one request at a time on each connection, and prints as JSON how many answers came in
// how many seconds. An answer other than 200 ends it.
import { connect } from 'node:net';

const [port, path, connectionCount, durationMs] = process.argv.slice(2);
const REQUEST = `GET ${path} HTTP/1.1\r\nhost: localhost:${port}\r\n\r\n`;

let answerCount = 0;
let isOver = false;

/** The bytes of a whole answer at the start of the text; undefined while there is more to come. */
function measureAnswer(text) {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const at = text.indexOf('ontent-length: ');
  const bytes = headEnd + 4 + Number.parseInt(text.slice(at + 15, at + 25), 10);
  return text.length < bytes ? undefined : bytes;
}

// The server ends a connection after some thousand requests, and says so in the last answer.
function open() {
  let text = '';
  const socket = connect(Number(port), '127.0.0.1');
  socket.setNoDelay(true);
  socket.setEncoding('latin1');
  socket.on('connect', () => socket.write(REQUEST));
  socket.on('data', (chunk) => {
    text += chunk;
    const bytes = measureAnswer(text);
    if (bytes === undefined) return;
    if (!text.startsWith('HTTP/1.1 200 ') || text.length !== bytes) throw new Error(text);
    answerCount++;
    const isLast = text.includes('onnection: close\r\n');
    text = '';
    if (isOver || isLast) socket.destroy();
    else socket.write(REQUEST);
  });
  socket.on('close', () => {
    if (!isOver) open();
  });
}

const startedAtMs = performance.now();
for (let i = 0; i < Number(connectionCount); i++) open();
setTimeout(() => {
  isOver = true;
  console.log(JSON.stringify({ answerCount, seconds: (performance.now() - startedAtMs) / 1000 }));
  process.exit();
}, Number(durationMs));
