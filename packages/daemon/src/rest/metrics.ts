/** Counts of a REST server, in the text format of Prometheus 0.0.4. */

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** What is true at the moment of asking. */
export interface MomentaryFacts {
  /** Undefined: the kernel did not tell. */
  readonly interfaceCount: number | undefined;
  readonly residentBytes: number;
  readonly uptimeMs: number;
}

export class RestMetrics {
  /** Bounded by the routes and statuses there are. */
  readonly #counts = new Map<string, number>();
  #inWorkCount = 0;

  /** How many requests are being worked on. */
  get inWorkCount(): number {
    return this.#inWorkCount;
  }

  beginWork(): void {
    this.#inWorkCount++;
  }

  endWork(): void {
    this.#inWorkCount--;
  }

  /** @param route Method and path of the route table, `GET /tun`; undefined when none was found. */
  countAnswer(route: string | undefined, status: number): void {
    const key = `${route ?? 'none'} ${status}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  format({ interfaceCount, residentBytes, uptimeMs }: MomentaryFacts): string {
    const requests = [...this.#counts].sort().map(([key, count]) => {
      const [method, path, status] = key.startsWith('none ') ? ['', ...key.split(' ')] : key.split(' ');
      return `heddle_rest_requests_total{method="${method}",route="${path}",status="${status}"} ${count}`;
    });
    return [
      ...family('requests_total', 'counter', 'Requests answered.'),
      ...requests,
      ...gauge('requests_in_work', 'Requests being worked on.', this.#inWorkCount),
      ...(interfaceCount === undefined ? [] : gauge('interfaces', 'Interfaces that heddle made.', interfaceCount)),
      ...gauge('resident_bytes', 'Memory of the process.', residentBytes),
      ...gauge('uptime_seconds', 'Since the server began to listen.', uptimeMs / 1000),
      '',
    ].join('\n');
  }
}

function gauge(name: string, help: string, value: number): string[] {
  return [...family(name, 'gauge', help), `heddle_rest_${name} ${value}`];
}

function family(name: string, type: string, help: string): string[] {
  return [`# HELP heddle_rest_${name} ${help}`, `# TYPE heddle_rest_${name} ${type}`];
}
