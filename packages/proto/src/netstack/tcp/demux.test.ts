import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../ip/address.ts';
import { createEndpoint, type Endpoint } from '../../ip/endpoint.ts';
import { IpHeader } from '../ip-header.ts';
import { Demux } from './demux.ts';
import { Flow } from './flow.ts';
import { Segment } from './segment.ts';
import type { TcpMachine } from './tcp-machine.ts';

function endpoint(text: string, port: number): Endpoint {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return createEndpoint(address, port);
}

function machineOf(local: Endpoint, remote: Endpoint): TcpMachine {
  return { flow: new Flow(local, remote), nextInBucket: undefined } as TcpMachine;
}

/** Looks up the segment that the remote end would send. */
function find(demux: Demux, local: Endpoint, remote: Endpoint): TcpMachine | undefined {
  const size = remote.address.bytes.length;
  const bytes = new Uint8Array(32);
  bytes.set(remote.address.bytes, 0);
  bytes.set(local.address.bytes, size);
  const header = new IpHeader();
  header.family = remote.address.family;
  header.destinationOffset = size;
  const segment = new Segment();
  segment.sourcePort = remote.port;
  segment.destinationPort = local.port;
  return demux.find({ bytes, view: new DataView(bytes.buffer) }, header, segment);
}

describe('the connection table', () => {
  const locals = [endpoint('100.64.0.1', 80), endpoint('fd7a:115c:a1e0::1', 80), endpoint('100.64.0.9', 80)];
  const remotes = (local: Endpoint): Endpoint[] =>
    Array.from({ length: 1000 }, (_, i) =>
      local.address.family === 4
        ? endpoint(`100.64.${i % 7}.${i % 251}`, 40_000 + i)
        : endpoint(`fd7a::${i % 7}:${i}`, 443),
    );

  it('finds each of thousands in both families, and none that only resembles one', () => {
    const demux = new Demux(12_345);
    const machines = locals.flatMap((local) => remotes(local).map((remote) => machineOf(local, remote)));
    for (const machine of machines) demux.add(machine);
    expect(demux.count).toBe(3000);
    for (const machine of machines) {
      const { local, remote } = machine.flow;
      expect(find(demux, local, remote)).toBe(machine);
      expect(demux.findFlow(new Flow(local, remote))).toBe(machine);
      expect(find(demux, createEndpoint(local.address, 81), remote)).toBeUndefined();
      expect(find(demux, local, createEndpoint(remote.address, 1))).toBeUndefined();
    }
    const other = endpoint('fd7a:115c:a1e0::2', 80);
    expect(find(demux, other, remotes(locals[1] as Endpoint)[0] as Endpoint)).toBeUndefined();
  });

  it('forgets what is removed, and only that', () => {
    const demux = new Demux(1);
    const machines = remotes(locals[0] as Endpoint).map((remote) => machineOf(locals[0] as Endpoint, remote));
    for (const machine of machines) demux.add(machine);
    for (const [i, machine] of machines.entries()) if (i % 2 === 0) demux.remove(machine);
    demux.remove(machines[0] as TcpMachine);
    expect(demux.count).toBe(500);
    expect(demux.list()).toHaveLength(500);
    for (const [i, machine] of machines.entries()) {
      expect(find(demux, machine.flow.local, machine.flow.remote)).toBe(i % 2 === 0 ? undefined : machine);
    }
  });
});
