import { Tailnet, type TailnetConnection } from '@heddle/tailnet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/processes.ts';
import { type ControlKind, findHeadscale, type RealNode, RealTailnet } from '../support/real-tailnet.ts';
import {
  connectBySocks,
  download,
  echo,
  type Services,
  serveTransfer,
  startTransferServer,
  startUdpEcho,
  upload,
} from '../support/transfers.ts';

const MIB = 1024 * 1024;
const TRANSFER_BYTES = 100 * MIB;
const LISTEN_PORT = 7000;

interface Variant {
  readonly control: ControlKind;
  readonly isRelayOnly: boolean;
  readonly isOld: boolean;
}

const headscale = await findHeadscale();

const VARIANTS: readonly Variant[] = [
  { control: 'testcontrol', isRelayOnly: false, isOld: false },
  { control: 'testcontrol', isRelayOnly: true, isOld: false },
  { control: 'testcontrol', isRelayOnly: false, isOld: true },
  { control: 'testcontrol', isRelayOnly: true, isOld: true },
  { control: 'headscale', isRelayOnly: false, isOld: false },
  { control: 'headscale', isRelayOnly: true, isOld: false },
];

for (const variant of VARIANTS) {
  const path = variant.isRelayOnly ? 'relay' : 'direct';
  const version = variant.isOld ? '1.90' : '1.102';
  const isMissing = variant.control === 'headscale' && headscale === undefined;
  const server = variant.control === 'headscale' ? `headscale ${headscale ?? '(not on PATH: skipped)'}` : 'testcontrol';

  describe.skipIf(isMissing)(`a node of ours and tailscaled ${version} at ${server}, ${path}`, () => {
    let real: RealTailnet;
    let peer: RealNode;
    let tailnet: Tailnet;
    let services: Services;
    let udpEcho: Services;

    beforeAll(async () => {
      [services, udpEcho] = await Promise.all([startTransferServer(), startUdpEcho()]);
      real = await RealTailnet.start({ ...variant, nodes: 1 });
      peer = real.node;
      tailnet = await Tailnet.join({ controlUrl: real.controlUrl, authKey: real.authKey, hostname: 'ours' });
      // Headscale tells the others about us a second later.
      await until('the peer to know us', 10_000, async () => (await peer.cli('status')).stdout.includes('ours'));
      tailnet.listen(LISTEN_PORT, (connection) => {
        serveTransfer(connection).catch(() => connection.destroy());
      });
    });

    afterAll(async () => {
      await tailnet?.close();
      await real?.close();
      await Promise.all([services?.close(), udpEcho?.close()]);
    });

    const peerAddress = (family: number) => (family === 4 ? peer.ipv4 : peer.ipv6);
    const ownAddress = (family: number) => tailnet.status().addresses[family === 4 ? 0 : 1] as string;

    it('sees the peer with name and addresses', () => {
      const { peers, addresses } = tailnet.status();
      expect(addresses).toHaveLength(2);
      expect(peers.find(({ name }) => name === peer.name)?.addresses).toEqual([peer.ipv4, peer.ipv6]);
    });

    it('is in the list of the server with disco key and home relay', async () => {
      const view = await until('the server to know our disco key', 10_000, async () => {
        const found = await real.serverView('ours');
        const isComplete = found && /discokey:.*[1-9a-f]/.test(found.discoKey) && found.homeDerp !== 0;
        return isComplete ? found : undefined;
      });
      expect(view.discoKey).toMatch(/^discokey:[0-9a-f]{64}$/);
      if (view.homeDerp !== undefined) expect(view.homeDerp).toBe(900);
    });

    it('answers tailscale ping', async () => {
      // tailscaled fails at once while it does not know our relay, and loses its first ping over a fresh one.
      const pong = await until('a pong', 30_000, async () => {
        const { stdout } = await peer.cli('ping', '--until-direct=false', '-c', '3', ownAddress(4));
        return stdout.match(/pong from ours .*/)?.[0];
      });
      if (variant.isRelayOnly) expect(pong).toContain('via DERP(test)');
    });

    it('answers ICMP and TSMP pings of tailscale', async () => {
      for (const kind of ['--icmp', '--tsmp']) {
        await until(`a pong to ${kind}`, 30_000, async () => {
          return (await peer.cli('ping', kind, '-c', '2', ownAddress(4))).stdout.includes('pong from ours');
        });
      }
    });

    it('reaches the peer by its short name and its full name', async () => {
      const full = tailnet.status().peers.find(({ name }) => name === peer.name)?.dnsName as string;
      for (const name of [peer.name, full, `${full}.`]) {
        expect(await echo(await tailnet.dial(name, services.port), `hello ${name}`)).toBe(`hello ${name}`);
      }
    });

    it(`uses the ${path} path`, async () => {
      const kind = variant.isRelayOnly ? 'relay' : 'direct';
      await until(`a ${kind} path`, 10_000, async () => {
        await echo(await tailnet.dial(peer.ipv4, services.port), 'again');
        return tailnet.status().peers.find(({ name }) => name === peer.name)?.path.kind === kind;
      });
    });

    for (const family of [4, 6]) {
      it(`carries 100 MiB both ways over IPv${family}, dialled by us`, async () => {
        const dial = (): Promise<TailnetConnection> => tailnet.dial(peerAddress(family), services.port);
        expect(await download(await dial(), TRANSFER_BYTES)).toBe(true);
        expect(await upload(await dial(), TRANSFER_BYTES)).toBe(true);
      });

      it(`carries 100 MiB both ways over IPv${family}, dialled by the peer`, async () => {
        const dial = () => connectBySocks(peer.socksPort, ownAddress(family), LISTEN_PORT);
        expect(await download(await dial(), TRANSFER_BYTES)).toBe(true);
        expect(await upload(await dial(), TRANSFER_BYTES)).toBe(true);
      });

      it(`echoes UDP over IPv${family}`, async () => {
        const socket = tailnet.createUdpSocket();
        const received = new Promise<string>((resolve) => {
          socket.onMessage((data) => resolve(Buffer.from(data).toString()));
        });
        let answer: string | undefined;
        void received.then((text) => {
          answer = text;
        });
        // UDP may be lost: a caller repeats.
        await until('the echo', 5_000, () => {
          if (answer === undefined) socket.send(Buffer.from('datagram'), peerAddress(family), udpEcho.port);
          return answer;
        });
        expect(answer).toBe('datagram');
        socket.close();
      });
    }

    it('pings the peer through the tunnel', async () => {
      const { address, roundTripMs } = await tailnet.ping(peer.name);
      expect(address).toBe(peer.ipv4);
      expect(roundTripMs).toBeGreaterThan(0);
    });

    it('hears at once that a port is closed', async () => {
      await expect(tailnet.dial(peer.ipv4, 1)).rejects.toMatchObject({ code: 'dial/refused' });
    });
  });
}
