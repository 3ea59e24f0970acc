import { createSocket } from 'node:dgram';
import type { Netmap } from '@heddle/proto/control/netmap';
import { nobleProvider } from '@heddle/proto/crypto/noble-provider';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { formatPublicKey } from '@heddle/proto/keys/public-key';
import { ControlClient, type ControlState } from '@heddle/tailnet/control/control-client';
import { createNodeCryptoProvider, nodeRng } from '@heddle/tailnet/crypto/node-provider';
import { expect, test, vi } from 'vitest';
import { type Lab, startLab } from './lab.ts';

interface TestClient {
  readonly client: ControlClient;
  readonly nodeKey: string;
  readonly states: ControlState[];
  netmap(): Netmap | undefined;
  readonly seen: () => string[];
}

function startClient(lab: Lab, hostname: string, authKey: string | undefined): TestClient {
  const nodeKey = generatePrivateKey('node', nobleProvider, nodeRng);
  const states: ControlState[] = [];
  let netmap: Netmap | undefined;
  const client = new ControlClient({
    controlUrl: lab.controlUrl,
    machineKey: generatePrivateKey('machine', nobleProvider, nodeRng),
    nodeKey,
    discoKey: generatePrivateKey('disco', nobleProvider, nodeRng).publicKey,
    authKey,
    hostname,
    tlsCa: undefined,
    crypto: createNodeCryptoProvider(),
    rng: nodeRng,
    log: () => {},
    onState: (state) => states.push(state),
    onNetmap: (map) => {
      netmap = map;
    },
    onNodeKeyChanged: async () => {},
  });
  client.start();
  const seen = () => [...(netmap?.peers.values() ?? [])].map(({ name }) => name);
  return { client, nodeKey: formatPublicKey('node', nodeKey.publicKey), states, netmap: () => netmap, seen };
}

test('two of our nodes join, see each other and what changes', async () => {
  await using lab = await startLab();
  const alice = startClient(lab, 'alice', lab.authKey);
  await vi.waitFor(() => expect(alice.netmap()).toBeDefined());
  const bob = startClient(lab, 'bob', lab.authKey);
  await vi.waitFor(() => expect(alice.seen()).toEqual(['bob.lab.test.']));
  await vi.waitFor(() => expect(bob.seen()).toEqual(['alice.lab.test.']));
  bob.client.setHomeDerp(900);
  await vi.waitFor(() => expect(alice.netmap()?.peers.get(2)).toMatchObject({ homeDerp: 900, isOnline: true }));
  expect(alice.netmap()?.peers.get(2)?.discoKey).toBeDefined();
  await bob.client.close();
  await vi.waitFor(() => expect(alice.netmap()?.peers.get(2)?.isOnline).toBe(false));
  lab.remove(2);
  await vi.waitFor(() => expect(alice.seen()).toEqual([]));
  await alice.client.close();
});

test('one of our nodes logs in through the page', async () => {
  await using lab = await startLab();
  const { client, states, netmap } = startClient(lab, 'laptop', undefined);
  const urlOf = (state: ControlState | undefined) => (state?.kind === 'needs_login' ? state.authUrl : undefined);
  const url = await vi.waitFor(() => {
    const found = urlOf(states.find((state) => state.kind === 'needs_login'));
    expect(found).toBeDefined();
    return found as string;
  });
  await fetch(url, { method: 'POST' });
  await vi.waitFor(() => expect(netmap()?.self.name).toBe('laptop.lab.test.'));
  await client.close();
});

test('closing frees the ports, and closing twice is no error', async () => {
  const lab = await startLab();
  const client = startClient(lab, 'a', lab.authKey);
  await vi.waitFor(() => expect(client.netmap()).toBeDefined());
  const { port, stunPort } = lab.relay!;
  await lab.close();
  await lab.close();
  await client.client.close();
  await using again = await startLab({ port, stunPort });
  expect(again.relay).toMatchObject({ port, stunPort });
});

test('a port that is taken is an error with a code, and nothing stays open', async () => {
  await using lab = await startLab();
  const { port, stunPort } = lab.relay!;
  const other = await freeUdpPort();
  await expect(startLab({ port, stunPort: other })).rejects.toMatchObject({ code: 'lab/listen-failed' });
  await expect(startLab({ stunPort })).rejects.toMatchObject({ code: 'lab/listen-failed' });
  await using third = await startLab({ stunPort: other });
  expect(third.relay?.stunPort).toBe(other);
});

test('an auth key appears in nothing that the lab logs', async () => {
  const lines: string[] = [];
  await using lab = await startLab({ authKey: 'very-secret', log: (line) => lines.push(JSON.stringify(line)) });
  const { client, netmap } = startClient(lab, 'a', 'very-secret');
  await vi.waitFor(() => expect(netmap()).toBeDefined());
  await client.close();
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.join()).not.toContain('very-secret');
});

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
