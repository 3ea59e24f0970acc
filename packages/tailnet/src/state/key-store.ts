import type { CryptoProvider, Rng } from '@heddle/proto/crypto/provider';
import { generatePrivateKey, type MachinePrivateKey, type NodePrivateKey } from '@heddle/proto/keys/private-key';
import type { LogLine } from '../types.ts';
import { loadOrCreateKeys, storeNodeKey } from './node-keys.ts';
import { openStateDir } from './state-dir.ts';

export interface KeyStoreOptions {
  /** `undefined` keeps the keys in memory: a new node at every join. */
  readonly stateDir: string | undefined;
  readonly controlUrl: string;
  readonly crypto: CryptoProvider;
  readonly rng: Rng;
  readonly log: (line: LogLine) => void;
}

/** The keys of a running node, and where they are kept. */
export interface KeyStore {
  readonly machineKey: MachinePrivateKey;
  readonly nodeKey: NodePrivateKey;
  /** Keeps a new node key before it is used. @throws {TailnetError} `state/disk-full`, `state/unwritable`. */
  saveNodeKey(nodeKey: NodePrivateKey): void;
  /** Gives the directory free for another process. */
  close(): void;
}

/** Opens the directory, or draws keys for this process alone. @throws {TailnetError} `state/*`. */
export function openKeyStore(options: KeyStoreOptions): KeyStore {
  return options.stateDir === undefined ? createMemoryStore(options) : openDirStore(options, options.stateDir);
}

function createMemoryStore({ crypto, rng }: KeyStoreOptions): KeyStore {
  let nodeKey = generatePrivateKey('node', crypto, rng);
  return {
    machineKey: generatePrivateKey('machine', crypto, rng),
    get nodeKey() {
      return nodeKey;
    },
    saveNodeKey: (next) => {
      nodeKey = next;
    },
    close: () => {},
  };
}

function openDirStore(options: KeyStoreOptions, path: string): KeyStore {
  const { crypto, rng, controlUrl, log } = options;
  const dir = openStateDir(path, { log });
  try {
    const { machineKey, nodeKey: stored } = loadOrCreateKeys({ dir, crypto, rng, controlUrl });
    let nodeKey = stored;
    return {
      machineKey,
      get nodeKey() {
        return nodeKey;
      },
      saveNodeKey: (next) => {
        storeNodeKey({ dir, crypto, rng, controlUrl }, next);
        nodeKey = next;
      },
      close: () => dir.close(),
    };
  } catch (error) {
    dir.close();
    throw error;
  }
}
