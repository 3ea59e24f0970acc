import { decodeAddress, encodeMappedAddress } from '../ip/address.ts';
import { createEndpoint, type Endpoint } from '../ip/endpoint.ts';

/** Bytes of an endpoint on the disco wire: 16 of address (IPv4 as ::ffff:a.b.c.d), then the port, big-endian. */
export const ENDPOINT_RECORD_BYTES = 18;

/** Writes {@link ENDPOINT_RECORD_BYTES} bytes at `offset`. */
export function encodeEndpointRecord(endpoint: Endpoint, out: Uint8Array, offset: number): void {
  encodeMappedAddress(endpoint.address, out, offset);
  out[offset + 16] = endpoint.port >> 8;
  out[offset + 17] = endpoint.port & 0xff;
}

/** Reads the {@link ENDPOINT_RECORD_BYTES} bytes at `offset`, which must be there. The port may be 0. */
export function decodeEndpointRecord(bytes: Uint8Array, offset: number): Endpoint {
  const port = ((bytes[offset + 16] as number) << 8) | (bytes[offset + 17] as number);
  return createEndpoint(decodeAddress(bytes, offset, 16), port);
}

/** Writes the records one behind the other. */
export function encodeEndpointList(endpoints: readonly Endpoint[], out: Uint8Array, offset: number): void {
  for (const [i, endpoint] of endpoints.entries()) {
    encodeEndpointRecord(endpoint, out, offset + i * ENDPOINT_RECORD_BYTES);
  }
}

/** Reads records from `offset` to the end; `undefined` when a record is cut off. */
export function decodeEndpointList(bytes: Uint8Array, offset: number): Endpoint[] | undefined {
  if ((bytes.length - offset) % ENDPOINT_RECORD_BYTES !== 0) return undefined;
  const endpoints: Endpoint[] = [];
  for (let at = offset; at < bytes.length; at += ENDPOINT_RECORD_BYTES) endpoints.push(decodeEndpointRecord(bytes, at));
  return endpoints;
}
