// What Node.js can do at most: answers every request alike, with the head and body it is given as JSON, and prints its port.
import { createServer } from 'node:http';

const { fields, text } = JSON.parse(process.argv[2]);
const server = createServer((_request, response) => {
  response.writeHead(200, fields);
  response.end(text);
});
// As heddle's, which makes a part of the head.
server.maxRequestsPerSocket = 10_000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
