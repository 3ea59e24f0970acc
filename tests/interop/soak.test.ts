import { Tailnet } from '@heddle/tailnet';
import { describe, expect, it } from 'vitest';
import { RealTailnet } from '../support/real-tailnet.ts';
import { echo, startTransferServer } from '../support/transfers.ts';

/** WireGuard rekeys every 120 s: two rekeys and some minutes of margin. */
const SOAK_MS = Number(process.env['HEDDLE_SOAK_MS'] ?? 330_000);
const INTERVAL_MS = 1_000;
/** No exchange may take longer: a rekey must not be felt. */
const EXCHANGE_MS = 2_000;

describe('soak', () => {
  it('exchanges data every second with tailscaled past two rekeys', async () => {
    const services = await startTransferServer();
    const real = await RealTailnet.start({ control: 'testcontrol', nodes: 1 });
    const tailnet = await Tailnet.join({ controlUrl: real.controlUrl, authKey: real.authKey, hostname: 'ours' });
    const handshakes = new Set<number>();
    const endAt = performance.now() + SOAK_MS;
    let exchanges = 0;
    while (performance.now() < endAt) {
      const connection = await tailnet.dial(real.node.ipv4, services.port, { timeoutMs: EXCHANGE_MS });
      expect(await echo(connection, `exchange ${exchanges}`)).toBe(`exchange ${exchanges}`);
      exchanges++;
      handshakes.add(tailnet.status().peers[0]?.lastHandshakeUnixMs ?? 0);
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
    console.log(`${exchanges} exchanges, ${handshakes.size} WireGuard sessions`);
    expect(handshakes.size).toBeGreaterThanOrEqual(3);
    await tailnet.close();
    await real.close();
    await services.close();
  });
});
