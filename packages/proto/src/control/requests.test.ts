import { describe, expect, it } from 'vitest';
import { seededRng } from '../../test/seeded-rng.ts';
import { nobleProvider as crypto } from '../crypto/noble-provider.ts';
import { parseEndpoint } from '../ip/endpoint.ts';
import { generatePrivateKey } from '../keys/private-key.ts';
import { formatPublicKey } from '../keys/public-key.ts';
import { createHostinfo, createMapRequest, createRegisterRequest } from './requests.ts';

const rng = seededRng(1);
const nodeKey = generatePrivateKey('node', crypto, rng).publicKey;
const discoKey = generatePrivateKey('disco', crypto, rng).publicKey;
const machineKey = generatePrivateKey('machine', crypto, rng).publicKey;
const options = { hostname: 'My Node', os: 'linux', osVersion: '6.1', machineKey, homeDerp: 0 };
const hostinfo = createHostinfo(options, crypto);

/** Every text in a body, because an empty one where a key or time belongs is an error to the server. */
function textsIn(json: unknown): string[] {
  if (typeof json === 'string') return [json];
  return typeof json === 'object' && json !== null ? Object.values(json).flatMap(textsIn) : [];
}

describe('Hostinfo', () => {
  it('is stable, and has a valid label and a log id of 64 digits', () => {
    expect(createHostinfo(options, crypto)).toEqual(hostinfo);
    expect(hostinfo).toMatchObject({
      Hostname: 'my-node',
      OS: 'linux',
      BackendLogID: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('names the home relay once there is one', () => {
    expect(hostinfo).not.toHaveProperty('NetInfo');
    expect(createHostinfo({ ...options, homeDerp: 900 }, crypto)).toMatchObject({ NetInfo: { PreferredDERP: 900 } });
  });
});

describe('a registration', () => {
  const base = {
    nodeKey,
    oldNodeKey: undefined,
    authKey: undefined,
    followUpUrl: undefined,
    isLogout: false,
    hostinfo,
  };

  it('leaves out what is unset', () => {
    expect(Object.keys(createRegisterRequest(base))).toEqual(['Version', 'NodeKey', 'Hostinfo']);
  });

  it('carries key, old key, follow-up and expiry where they belong', () => {
    const request = createRegisterRequest({
      ...base,
      oldNodeKey: nodeKey,
      authKey: 'k',
      followUpUrl: 'http://h/r',
      isLogout: true,
    });
    expect(request).toMatchObject({
      Version: 131,
      OldNodeKey: formatPublicKey('node', nodeKey),
      Auth: { AuthKey: 'k' },
      Followup: 'http://h/r',
      Expiry: '1970-01-01T00:02:03Z',
    });
    expect(textsIn(request)).not.toContain('');
  });
});

describe('a map request', () => {
  const endpoints = [
    { endpoint: parseEndpoint('192.0.2.1:5')!, type: 1 },
    { endpoint: parseEndpoint('[2001:db8::1]:5')!, type: 2 },
  ];

  it.each([true, false])('carries disco key, Hostinfo and endpoints, stream %j', (isStream) => {
    const request = createMapRequest({ nodeKey, discoKey, hostinfo, endpoints, isStream });
    expect(request).toMatchObject({
      DiscoKey: formatPublicKey('disco', discoKey),
      Hostinfo: hostinfo,
      Endpoints: ['192.0.2.1:5', '[2001:db8::1]:5'],
      EndpointTypes: [1, 2],
    });
    expect(request).toHaveProperty(isStream ? 'Stream' : 'OmitPeers', true);
    expect(textsIn(request)).not.toContain('');
  });

  it('says "none" by an empty list', () => {
    expect(createMapRequest({ nodeKey, discoKey, hostinfo, endpoints: [], isStream: true })).toMatchObject({
      Endpoints: [],
    });
  });
});
