import { type IpAddress, parseAddress } from './address.ts';

/** A UDP address: where a datagram comes from or goes to. `text` is `1.2.3.4:5` or `[2001:db8::1]:5`. */
export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
  readonly text: string;
}

export function createEndpoint(address: IpAddress, port: number): Endpoint {
  return { address, port, text: address.family === 4 ? `${address.text}:${port}` : `[${address.text}]:${port}` };
}

/** Parses `1.2.3.4:41641` or `[2001:db8::1]:41641`; `undefined` for any other text or port 0. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const address = parseAddress((match[1] ?? match[2]) as string);
  const port = Number(match[3]);
  if (address === undefined || port < 1 || port > 65535) return undefined;
  if ((match[1] !== undefined) !== (address.family === 6)) return undefined;
  return createEndpoint(address, port);
}
