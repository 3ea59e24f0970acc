import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { listLocalEndpoints } from './local-endpoints.ts';

vi.mock('node:os', () => ({ networkInterfaces: vi.fn() }));
const interfaces = vi.mocked(networkInterfaces);
afterEach(() => interfaces.mockReset());

/** Interfaces by name; an address with `!` in front belongs to the machine alone. */
function machine(addresses: Record<string, string[]>): void {
  const entries = Object.entries(addresses).map(([name, list]) => [
    name,
    list.map((text) => ({ address: text.replace('!', ''), internal: text.startsWith('!') })),
  ]);
  interfaces.mockReturnValue(Object.fromEntries(entries));
}

const list = (hasIpv6 = true, own = ''): string[] =>
  listLocalEndpoints(41641, hasIpv6, ({ text }) => text === own).map(({ text }) => text);

describe('the local endpoints', () => {
  it('are the addresses of all interfaces with the port', () => {
    machine({ lo: ['!127.0.0.1', '!::1'], eth0: ['192.0.2.2', '2001:db8::2'], eth1: ['198.51.100.7'] });
    expect(list()).toEqual(['192.0.2.2:41641', '[2001:db8::2]:41641', '198.51.100.7:41641']);
  });

  it('leave out link-local addresses and our own of the tailnet', () => {
    machine({ eth0: ['169.254.3.4', 'fe80::1%eth0', '192.0.2.2'], tailscale0: ['100.64.0.1'] });
    expect(list(true, '100.64.0.1')).toEqual(['192.0.2.2:41641']);
  });

  it('have at most two IPv6 addresses of one interface', () => {
    machine({ eth0: ['2001:db8::1', '2001:db8::2', '2001:db8::3'], eth1: ['2001:db8:1::1'] });
    expect(list()).toEqual(['[2001:db8::1]:41641', '[2001:db8::2]:41641', '[2001:db8:1::1]:41641']);
  });

  it('have no IPv6 where the socket has none', () => {
    machine({ eth0: ['2001:db8::1', '192.0.2.2'] });
    expect(list(false)).toEqual(['192.0.2.2:41641']);
  });

  it('are loopback where there is nothing else', () => {
    machine({ lo: ['!127.0.0.1', '!::1'], eth0: ['fe80::1'] });
    expect(list()).toEqual(['127.0.0.1:41641', '[::1]:41641']);
  });

  it('are none on a machine without addresses', () => {
    machine({});
    expect(list()).toEqual([]);
  });
});
