import os from 'node:os';
import { createHostinfo, createMapRequest, type LocalEndpoint } from '@heddle/proto/control/requests';
import type { CryptoProvider } from '@heddle/proto/crypto/provider';
import type { DiscoPublicKey, MachinePublicKey, NodePublicKey } from '@heddle/proto/keys/public-key';

export interface LocalNodeOptions {
  readonly hostname: string;
  readonly machineKey: MachinePublicKey;
  readonly discoKey: DiscoPublicKey;
  readonly crypto: Pick<CryptoProvider, 'blake2s'>;
}

/** What the server and our peers shall know about us. Lives as long as the client; every session sends it anew. */
export class LocalNode {
  readonly #options: LocalNodeOptions;
  #endpoints: readonly LocalEndpoint[] = [];
  #homeDerp = 0;

  constructor(options: LocalNodeOptions) {
    this.#options = options;
  }

  /** True when this is news. */
  setEndpoints(endpoints: readonly LocalEndpoint[]): boolean {
    const describe = (list: readonly LocalEndpoint[]): string => list.map((e) => `${e.endpoint.text}/${e.type}`).join();
    const isNews = describe(endpoints) !== describe(this.#endpoints);
    this.#endpoints = [...endpoints];
    return isNews;
  }

  /** True when this is news. */
  setHomeDerp(regionId: number): boolean {
    const isNews = regionId !== this.#homeDerp;
    this.#homeDerp = regionId;
    return isNews;
  }

  hostinfo(): object {
    const { hostname, machineKey, crypto } = this.#options;
    const homeDerp = this.#homeDerp;
    return createHostinfo({ hostname, os: goOsName(), osVersion: os.release(), machineKey, homeDerp }, crypto);
  }

  mapRequest(nodeKey: NodePublicKey, isStream: boolean): Uint8Array {
    const { discoKey } = this.#options;
    const request = { nodeKey, discoKey, hostinfo: this.hostinfo(), endpoints: this.#endpoints, isStream };
    return Buffer.from(JSON.stringify(createMapRequest(request)));
  }
}

/** What Tailscale's clients call the system. */
function goOsName(): string {
  if (process.platform === 'darwin') return 'macOS';
  return process.platform === 'win32' ? 'windows' : process.platform;
}
