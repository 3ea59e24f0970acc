import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generatePrivateKey } from '@heddle/proto/keys/private-key';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createNodeCryptoProvider, nodeRng } from '../crypto/node-provider.ts';
import { type KeyStore, openKeyStore } from './key-store.ts';

const crypto = createNodeCryptoProvider();
const CONTROL_URL = 'http://control.test';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (stateDir: string | undefined, controlUrl = CONTROL_URL): KeyStore =>
  openKeyStore({ stateDir, controlUrl, crypto, rng: nodeRng, log: () => {} });
const publicKeys = ({ machineKey, nodeKey }: KeyStore): Uint8Array[] => [machineKey.publicKey, nodeKey.publicKey];
const drawNodeKey = () => generatePrivateKey('node', crypto, nodeRng);

describe('a key store in memory', () => {
  it('draws new keys each time, and keeps a new node key', () => {
    const [first, second] = [open(undefined), open(undefined)];
    expect(publicKeys(first)).not.toEqual(publicKeys(second));
    const [machineKey, next] = [first.machineKey, drawNodeKey()];
    first.saveNodeKey(next);
    expect(first.nodeKey).toBe(next);
    expect(first.machineKey).toBe(machineKey);
    first.close();
  });
});

describe('a key store in a directory', () => {
  it('has the same keys again, and a node key that was replaced', () => {
    const first = open(join(folder, 'state'));
    const next = drawNodeKey();
    first.saveNodeKey(next);
    expect(first.nodeKey).toBe(next);
    const keys = publicKeys(first);
    first.close();
    const second = open(join(folder, 'state'));
    expect(publicKeys(second)).toEqual(keys);
    second.close();
  });

  it('belongs to one node at a time', () => {
    const first = open(folder);
    expect(() => open(folder)).toThrow(expect.objectContaining({ code: 'state/locked' }));
    first.close();
    open(folder).close();
  });

  it('gives the directory free when it is of another server', () => {
    open(folder).close();
    expect(() => open(folder, 'http://other.test')).toThrow(expect.objectContaining({ code: 'state/foreign' }));
    open(folder).close();
  });

  it('gives the directory free when its documents are damaged', () => {
    open(folder).close();
    const documents = readdirSync(folder).filter((name) => name.startsWith('state.json'));
    const texts = documents.map((name) => readFileSync(join(folder, name)));
    for (const name of documents) writeFileSync(join(folder, name), '{');
    expect(() => open(folder)).toThrow(expect.objectContaining({ code: 'state/corrupt' }));
    for (const [i, name] of documents.entries()) writeFileSync(join(folder, name), texts[i] as Buffer);
    open(folder).close();
  });
});
