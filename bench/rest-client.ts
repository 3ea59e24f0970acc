import { Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface Exchange {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** From the call to the last byte. */
  readonly elapsedMs: number;
}

/** A client of a REST daemon that keeps its connection: one request at a time. */
export class RestClient {
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(port: number) {
    this.#port = port;
  }

  /** Rejects for an answer that is no success. */
  async ask(method: string, path: string, body?: unknown): Promise<Exchange> {
    const startedAtMs = performance.now();
    const answer = await this.#exchange(method, path, body === undefined ? undefined : JSON.stringify(body));
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return { ...answer, elapsedMs: performance.now() - startedAtMs };
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(method: string, path: string, body: string | undefined): Promise<Omit<Exchange, 'elapsedMs'>> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const options = { host: '127.0.0.1', port: this.#port, method, path, headers, agent: this.#agent };
    return new Promise((resolve, reject) => {
      const call = request(options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
        answer.on('error', reject);
      });
      call.on('error', reject);
      call.end(body);
    });
  }
}
