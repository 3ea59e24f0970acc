import { Tailnet } from '@heddle/tailnet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/processes.ts';
import { type ControlKind, findHeadscale, RealTailnet } from '../support/real-tailnet.ts';
import { echo, type Services, startTransferServer } from '../support/transfers.ts';

/** The promise: back by itself so soon after the other program came back. */
const RECOVERY_MS = 10_000;

const headscale = await findHeadscale();

for (const control of ['testcontrol', 'headscale'] satisfies ControlKind[]) {
  describe.skipIf(control === 'headscale' && headscale === undefined)(`restarts at ${control}`, () => {
    let real: RealTailnet;
    let tailnet: Tailnet;
    let services: Services;

    beforeAll(async () => {
      services = await startTransferServer();
      // Relay only: a direct path would hide a relay that stays away.
      real = await RealTailnet.start({ control, nodes: 1, isRelayOnly: true });
      tailnet = await Tailnet.join({ controlUrl: real.controlUrl, authKey: real.authKey, hostname: 'ours' });
      // Headscale tells the peer about us a second later; WireGuard repeats its first message after five.
      await until('first traffic', 15_000, reach);
    });

    afterAll(async () => {
      await tailnet?.close();
      await real?.close();
      await services?.close();
    });

    async function reach(): Promise<boolean> {
      const connection = await tailnet.dial(real.node.name, services.port, { timeoutMs: 3_000 });
      return (await echo(connection, 'there')) === 'there';
    }

    it('carries traffic again after the relay was killed and started', async () => {
      await real.killRelay();
      await until('the loss to be noticed', 5_000, () => tailnet.status().relay?.isConnected === false);
      await real.startRelay();
      expect(await until('traffic by the new relay', RECOVERY_MS, reach)).toBe(true);
    });

    it('keeps its connections while the coordination server is away, and is running again after its return', async () => {
      await real.killControl();
      await until('the loss to be noticed', 5_000, () => tailnet.status().state.kind !== 'running');
      expect(await reach()).toBe(true);
      await real.startControl();
      await until('running again', RECOVERY_MS, () => tailnet.status().state.kind === 'running');
      // testcontrol forgets its nodes and wants tailscaled's auth key again, which tailscaled does not keep.
      if (control === 'headscale') expect(await until('traffic', RECOVERY_MS, reach)).toBe(true);
      else await until('the server to know us', RECOVERY_MS, () => real.serverView('ours'));
    });
  });
}
