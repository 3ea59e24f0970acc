import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { formatPublicKey, type NodePublicKey } from '@heddle/proto/keys/public-key';
import { createNodeCryptoProvider, nodeRng } from '@heddle/tailnet/crypto/node-provider';
import type { LogLine } from '@heddle/tailnet/types';
import { RelayServer } from '../relay/relay-server.ts';
import { AuthKeys } from './auth-keys.ts';
import { ControlServer } from './control-server.ts';
import { EphemeralNodes } from './ephemeral-nodes.ts';
import { MachineApi } from './machine-api.ts';
import type { TailnetSettings } from './map-response.ts';
import { NodeRegistry } from './node-registry.ts';
import { PendingLogins } from './pending-logins.ts';
import { Registration } from './registration.ts';

export interface CoordinationOptions {
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  readonly domain: string;
  readonly filterRules: readonly unknown[];
  /** `DERPMap` in its wire form, once the port of this server is known. */
  readonly createDerpMap: (port: number) => object;
  /** Serves a relay on the same port, for members only. */
  readonly hasRelay: boolean;
  readonly requiresAuthKey: boolean;
  readonly keepAliveMs: number;
  readonly ephemeralTimeoutMs: number;
  readonly hasEarlyPayload: boolean;
  readonly log: (line: LogLine) => void;
}

/** A running coordination server. */
export interface Coordination {
  readonly port: number;
  readonly controlUrl: string;
  readonly derpMap: object;
  /** `undefined` without a relay. */
  readonly relayKey: NodePublicKey | undefined;
  readonly nodes: NodeRegistry;
  readonly authKeys: AuthKeys;
  readonly logins: PendingLogins;
  readonly setFilterRules: (filterRules: readonly unknown[]) => void;
  /** Ends every connection; resolves when the port is free. */
  readonly close: () => Promise<void>;
}

/**
 * Starts the server and ties its parts: the registry of nodes, which tells every open netmap of its changes.
 * @throws {TailnetError} `lab/listen-failed` when the port is taken.
 */
export async function startCoordination(options: CoordinationOptions): Promise<Coordination> {
  const { host, keepAliveMs, requiresAuthKey, hasEarlyPayload, log } = options;
  let settings: TailnetSettings = { domain: options.domain, derpMap: {}, filterRules: options.filterRules };
  let controlUrl = '';
  const crypto = createNodeCryptoProvider();
  const authKeys = new AuthKeys();
  const logins = new PendingLogins();
  const nodes: NodeRegistry = new NodeRegistry((nodeId, change) => {
    api.noteChange(nodeId, change);
    ephemeral.handleChange(nodeId, change);
  });
  const ephemeral = new EphemeralNodes(nodes, options.ephemeralTimeoutMs);
  const formatAuthUrl = (loginId: string) => `${controlUrl}/register/${loginId}`;
  const registration = new Registration({ nodes, authKeys, logins, requiresAuthKey, formatAuthUrl });
  const api = new MachineApi({ nodes, registration, settings: () => settings, keepAliveMs, log });
  const serverKey = generatePrivateKey('machine', crypto, nodeRng);
  const isAllowed = (key: NodePublicKey) => nodes.byNodeKey(formatPublicKey('node', key)) !== undefined;
  const relay = options.hasRelay ? new RelayServer({ serverKey: undefined, isAllowed }) : undefined;
  const server = new ControlServer({ serverKey, crypto, rng: nodeRng, hasEarlyPayload, logins, api, relay, log });
  const port = await server.listen(host, options.port).catch((error: unknown) => {
    relay?.close();
    throw error;
  });
  const derpMap = options.createDerpMap(port);
  settings = { ...settings, derpMap };
  controlUrl = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return {
    port,
    controlUrl,
    derpMap,
    relayKey: relay?.publicKey,
    nodes,
    authKeys,
    logins,
    setFilterRules(filterRules) {
      settings = { ...settings, filterRules };
      api.noteNewFilter();
    },
    async close() {
      api.close();
      relay?.close();
      await server.close();
      ephemeral.close();
    },
  };
}
