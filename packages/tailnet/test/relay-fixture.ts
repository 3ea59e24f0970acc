import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { RelayServer } from '@heddle/lab/relay/relay-server';
import type { DerpMap, DerpNode } from '@heddle/proto/control/derp-map';
import type { NodePublicKey } from '@heddle/proto/keys/public-key';

/** A relay on loopback whose connections can be cut, and that can go away and come back on its port. */
export interface RelayFixture {
  readonly server: Server;
  readonly relay: RelayServer;
  readonly port: number;
  close(): Promise<void>;
}

export async function startRelayFixture(
  o: {
    readonly port?: number;
    readonly tls?: { readonly key: string; readonly cert: string };
    readonly isAllowed?: (key: NodePublicKey) => boolean;
  } = {},
): Promise<RelayFixture> {
  const relay = new RelayServer({ serverKey: undefined, isAllowed: o.isAllowed ?? (() => true) });
  const server: Server = o.tls === undefined ? createHttpServer() : createHttpsServer({ ...o.tls });
  relay.attach(server);
  const port = await listen(server, o.port ?? 0);
  return { server, relay, port, close: () => closeRelay(relay, server) };
}

export async function listen(server: Server | import('node:net').Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function closeRelay(relay: RelayServer, server: Server): Promise<void> {
  relay.close();
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

/** A node on loopback that is reached as the options say. */
export function relayNode(port: number, o: Partial<DerpNode> = {}): DerpNode {
  return {
    name: `node-${port}`,
    regionId: 900,
    hostName: '127.0.0.1',
    certName: '',
    ipv4: '127.0.0.1',
    ipv6: 'none',
    derpPort: port,
    stunPort: -1,
    isStunOnly: false,
    isInsecureForTests: true,
    ...o,
  };
}

export function relayMap(regions: Readonly<Record<number, readonly DerpNode[]>>): DerpMap {
  const entries = Object.entries(regions).map(([id, nodes]) => {
    const regionId = Number(id);
    return [regionId, { regionId, code: `r${id}`, name: `r${id}`, isNoMeasureNoHome: false, nodes }] as const;
  });
  return { regions: new Map(entries), regionScore: new Map() };
}
