import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deriveGlobalId, readMachineId } from './global-id.ts';

const MACHINE = '0123456789abcdef0123456789abcdef';

describe('a Global ID', () => {
  it('is that of the machine, whichever daemon asks', () => {
    expect(deriveGlobalId(MACHINE, 'tun')).toEqual(deriveGlobalId(MACHINE, 'subnet'));
    expect(deriveGlobalId(MACHINE, 'tun')).not.toEqual(deriveGlobalId(MACHINE.replace('f', 'e'), 'tun'));
  });

  it('is the own one of each daemon where the machine has no id', () => {
    expect(deriveGlobalId(undefined, 'tun')).not.toEqual(deriveGlobalId(undefined, 'subnet'));
    expect(deriveGlobalId(undefined, 'tun')).toEqual(deriveGlobalId(undefined, 'tun'));
  });

  it('is the head of what sha256sum says, for good', () => {
    // printf 'heddle ula 0123456789abcdef0123456789abcdef' | sha256sum
    expect(Buffer.from(deriveGlobalId(MACHINE, 'tun')).toString('hex')).toBe('0fc227856d');
  });
});

describe('the id of the machine', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-machine-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is read from its file', () => {
    writeFileSync(join(folder, 'id'), `${MACHINE}\n`);
    expect(readMachineId(join(folder, 'id'))).toBe(MACHINE);
  });

  it.each(['', 'uninitialized\n', '0'.repeat(32), MACHINE.slice(1), `${MACHINE}0`, `${MACHINE}\n${MACHINE}`])(
    'is none when the file says %j',
    (text) => {
      writeFileSync(join(folder, 'id'), text);
      expect(readMachineId(join(folder, 'id'))).toBeUndefined();
    },
  );

  it('is none without the file', () => {
    expect(readMachineId(join(folder, 'none'))).toBeUndefined();
    expect(readMachineId(folder)).toBeUndefined();
  });
});
