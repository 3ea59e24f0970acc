import type { Endpoint } from '../ip/endpoint.ts';
import type { PathSource } from '../path/path-agent.ts';

/** Relay senders remembered; the table is emptied when it is full. */
const RELAY_SOURCES_MAX = 65_536;

/** One object per way a datagram can come, so that none is made per packet. */
export class PathSources {
  readonly #udp = new WeakMap<Endpoint, PathSource>();
  readonly #relay = new Map<number, PathSource[]>();
  #relayCount = 0;

  /** Endpoints are compared by identity: the shell interns them. */
  ofEndpoint(endpoint: Endpoint): PathSource {
    const known = this.#udp.get(endpoint);
    if (known !== undefined) return known;
    const source: PathSource = { kind: 'udp', endpoint };
    this.#udp.set(endpoint, source);
    return source;
  }

  ofRelay(regionId: number, peer: number): PathSource {
    const known = this.#relay.get(regionId)?.[peer];
    if (known !== undefined) return known;
    if (this.#relayCount >= RELAY_SOURCES_MAX) {
      this.#relay.clear();
      this.#relayCount = 0;
    }
    const source: PathSource = { kind: 'derp', regionId, peer };
    const peers = this.#relay.get(regionId) ?? [];
    peers[peer] = source;
    this.#relay.set(regionId, peers);
    this.#relayCount++;
    return source;
  }
}
