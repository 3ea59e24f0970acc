import { type Lab, startLab } from '@heddle/lab';
import { Tailnet } from '@heddle/tailnet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/processes.ts';
import { RealTailnet } from '../support/real-tailnet.ts';
import {
  connectBySocks,
  download,
  echo,
  type Services,
  serveTransfer,
  startTransferServer,
  upload,
} from '../support/transfers.ts';

const TRANSFER_BYTES = 16 * 1024 * 1024;
const LISTEN_PORT = 7000;

for (const isRelayOnly of [false, true]) {
  describe(`a real tailscaled in our lab, ${isRelayOnly ? 'by relay' : 'direct'}`, () => {
    let lab: Lab;
    let real: RealTailnet;
    let tailnet: Tailnet;
    let services: Services;

    beforeAll(async () => {
      services = await startTransferServer();
      lab = await startLab();
      real = await RealTailnet.start({ control: 'testcontrol', nodes: 2, isRelayOnly, lab });
      tailnet = await Tailnet.join({ controlUrl: lab.controlUrl, authKey: lab.authKey, hostname: 'ours' });
      tailnet.listen(LISTEN_PORT, (connection) => {
        serveTransfer(connection).catch(() => connection.destroy());
      });
    });

    afterAll(async () => {
      await tailnet?.close();
      await real?.close();
      await lab?.close();
      await services?.close();
    });

    it('talks to our node both ways', async () => {
      expect(await echo(await tailnet.dial('peer1', services.port), 'hello')).toBe('hello');
      expect(await download(await tailnet.dial('peer1', services.port), TRANSFER_BYTES)).toBe(true);
      const own = tailnet.status().addresses[0] as string;
      expect(await upload(await connectBySocks(real.node.socksPort, own, LISTEN_PORT), TRANSFER_BYTES)).toBe(true);
    });

    it('talks to another tailscaled', async () => {
      const [first, second] = real.nodes;
      const { stdout } = await first!.cli('ping', '--until-direct=false', '-c', '3', second!.ipv4);
      expect(stdout).toMatch(/pong from peer2/);
      expect(await upload(await connectBySocks(first!.socksPort, second!.ipv4, services.port), 1024)).toBe(true);
    });

    it('is shown by both kinds of client', async () => {
      const status = JSON.parse((await real.node.cli('status', '--json')).stdout);
      const names = Object.values(status.Peer as Record<string, { HostName: string }>).map(({ HostName }) => HostName);
      expect(names.sort()).toEqual(['ours', 'peer2']);
      await until('our netmap', 5_000, () => tailnet.status().peerCount === 2);
    });
  });
}
