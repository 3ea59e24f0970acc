import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeInterfaceStore } from '../../test/fake-interface-store.ts';
import { FakeKernel } from '../../test/fake-kernel.ts';
import { type InterfaceRecord, interfaceKey, type SubnetRecord, type TunRecord } from '../store/interface-records.ts';
import { InterfaceBook } from './interface-book.ts';
import { addressesOf, linkNameOf } from './record-facts.ts';

const TUN: TunRecord = {
  kind: 'tun',
  name: 'tun0',
  address: '10.0.0.1',
  prefixBits: 24,
  mtu: 1500,
  isPersistent: true,
  mark: 1001,
  createdUnixMs: 1,
};
const ATTACHED: TunRecord = { ...TUN, name: 'tun1', address: '10.0.1.1', isPersistent: false, mark: 1002 };
const SUBNET: SubnetRecord = {
  kind: 'subnet',
  cidr: '10.1.0.0/24',
  address: '10.1.0.1',
  link: 'dummy0',
  linkKind: 'dummy',
  mtu: 1500,
  mark: 1003,
  createdUnixMs: 1,
};
const RECORDS: readonly InterfaceRecord[] = [TUN, ATTACHED, SUBNET];
const FAILURE = new TailnetError('interface/kernel-refused', 'no');

let store: FakeInterfaceStore;
let kernel: FakeKernel;
let warnings: string[];

function openBook(): InterfaceBook {
  return new InterfaceBook({
    store,
    kernel,
    exclude: (work) => work(),
    readTeams: async () => [],
    log: (level, message) => {
      if (level === 'warn') warnings.push(message);
    },
  });
}

/** What a user may rely on: the kernel has what the store says, and nothing of ours beside it. */
function expectAgreement(): void {
  const ours = [...kernel.linkTable.values()].filter(({ mark }) => mark !== 0);
  const wanted = store.interfaces().map((record) => [linkNameOf(record), record.mark, addressesOf(record)]);
  expect(ours.map(({ name, mark, addresses }) => [name, mark, addresses]).sort()).toEqual(wanted.sort());
  expect(store.journal()).toEqual([]);
}

beforeEach(() => {
  store = new FakeInterfaceStore();
  kernel = new FakeKernel();
  warnings = [];
});

describe('an interface', () => {
  it.each(RECORDS.map((record) => [interfaceKey(record), record] as const))(
    '%s is made, found and removed',
    async (key, record) => {
      const book = openBook();
      await book.change(() => book.make(record));
      expectAgreement();
      expect(book.record(key)).toEqual(record);
      await book.change(() => book.remove(record));
      expectAgreement();
      expect(kernel.linkTable.size).toBe(0);
    },
  );

  it('that the kernel refuses leaves nothing', async () => {
    kernel.failures.push({ call: 'makeTun', error: FAILURE });
    const book = openBook();
    await expect(book.change(() => book.make(TUN))).rejects.toBe(FAILURE);
    expectAgreement();
    expect(store.interfaces()).toEqual([]);
  });

  it('that cannot be stored is taken back from the kernel', async () => {
    const full = new TailnetError('state/disk-full', 'full');
    let count = 0;
    store.beforeCommit = async () => {
      count++;
      if (count === 2) throw full;
    };
    const book = openBook();
    await expect(book.change(() => book.make(SUBNET))).rejects.toMatchObject({
      code: 'interface/not-stored',
      cause: full,
    });
    expectAgreement();
    expect(kernel.linkTable.size).toBe(0);
  });

  it('that cannot be taken back either is removed at the next start', async () => {
    const book = openBook();
    let count = 0;
    store.beforeCommit = async () => {
      count++;
      if (count > 1) throw new TailnetError('state/disk-full', 'full');
    };
    await expect(book.change(() => book.make(TUN))).rejects.toMatchObject({ code: 'interface/not-stored' });
    store.beforeCommit = async () => {};
    await openBook().reconcile();
    expectAgreement();
    expect(warnings.join()).toContain('is left, to be removed');
  });

  it('that the kernel does not let go stays', async () => {
    const book = openBook();
    await book.change(() => book.make(SUBNET));
    kernel.failures.push({ call: 'remove', error: FAILURE });
    await expect(book.change(() => book.remove(SUBNET))).rejects.toBe(FAILURE);
    expectAgreement();
    expect(store.interfaces()).toEqual([SUBNET]);
  });

  it('whose removal cannot be stored is there as before', async () => {
    const book = openBook();
    await book.change(() => book.make(ATTACHED));
    store.failures.push(new TailnetError('state/disk-full', 'full'));
    await expect(book.change(() => book.remove(ATTACHED))).rejects.toMatchObject({ code: 'interface/not-stored' });
    expectAgreement();
    expect(store.interfaces()).toEqual([ATTACHED]);
  });

  it('that was removed is answered for, also when its journal cannot be cleared at once', async () => {
    const book = openBook();
    await book.change(() => book.make(SUBNET));
    store.beforeCommit = async () => {
      store.beforeCommit = async () => {
        throw new TailnetError('state/disk-full', 'full');
      };
    };
    await book.change(() => book.remove(SUBNET));
    store.beforeCommit = async () => {};
    expect(kernel.linkTable.size).toBe(0);
    await book.change(async () => {});
    expect(warnings.join()).toContain('is left, to be removed');
    await openBook().reconcile();
    expectAgreement();
  });

  it('more than there may be is refused before anything is touched', async () => {
    const book = openBook();
    const many = Array.from({ length: 4096 }, (_, i) => ({ ...TUN, name: `x${i}`, mark: i + 1 }));
    await store.commit(many.map((record) => ({ kind: 'put-interface', record })));
    await expect(book.change(() => book.make(SUBNET))).rejects.toMatchObject({ code: 'allocation/too-many' });
    expect(kernel.calls).toEqual([]);
  });
});

describe('changes', () => {
  it('run one after another, in the order they came', async () => {
    const book = openBook();
    const order: string[] = [];
    const step = (name: string) => async () => {
      order.push(`${name} begins`);
      await Promise.resolve();
      order.push(`${name} ends`);
    };
    await Promise.all([book.change(step('first')), book.change(step('second'))]);
    expect(order).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  });

  it('begin with what could not be taken back', async () => {
    const book = openBook();
    kernel.failures.push({ call: 'makeTun', error: FAILURE }, { call: 'remove', error: FAILURE });
    await expect(book.change(() => book.make(TUN))).rejects.toBe(FAILURE);
    expect(store.journal()).toHaveLength(1);
    await book.change(async () => {});
    expectAgreement();
  });

  it('go on after one that failed', async () => {
    const book = openBook();
    const failing = book.change(() => Promise.reject(FAILURE));
    const next = book.change(() => book.make(TUN));
    await expect(failing).rejects.toBe(FAILURE);
    await next;
    expectAgreement();
  });

  it('are refused when too many wait', async () => {
    const book = openBook();
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const waiting = Array.from({ length: 64 }, () => book.change(() => gate));
    await expect(book.change(async () => {})).rejects.toMatchObject({ code: 'rest/busy' });
    release();
    await Promise.all(waiting);
    await book.change(async () => {});
  });
});

it('closing waits for the change that runs, and refuses later ones', async () => {
  const book = openBook();
  const making = book.change(() => book.make(TUN));
  const closing = book.close();
  await expect(book.change(() => book.make(SUBNET))).rejects.toMatchObject({ code: 'rest/busy' });
  await closing;
  expectAgreement();
  expect(store.interfaces()).toEqual([TUN]);
  await making;
});

describe('a start', () => {
  /** Stands for everything after the moment at which the process was killed. */
  const never = new Promise<never>(() => {});

  /** Runs the work with the process killed before its n-th touch of disk or kernel; false when it ended before that. */
  async function runKilledAt(touch: number, work: (book: InterfaceBook) => Promise<void>): Promise<boolean> {
    let count = 0;
    let isKilled = false;
    const step = async (): Promise<void> => {
      count++;
      if (count !== touch) return;
      isKilled = true;
      killed();
      await never;
    };
    let killed = (): void => {};
    const death = new Promise<void>((resolve) => {
      killed = resolve;
    });
    store.beforeCommit = step;
    const original = { makeTun: kernel.makeTun, makeSubnet: kernel.makeSubnet, remove: kernel.remove };
    const slow =
      <R extends InterfaceRecord, A extends unknown[]>(call: (record: R, ...rest: A) => Promise<void>) =>
      async (record: R, ...rest: A): Promise<void> => {
        await step();
        await call.call(kernel, record, ...rest);
        await step();
      };
    Object.assign(kernel, {
      makeTun: slow(original.makeTun),
      makeSubnet: slow(original.makeSubnet),
      remove: slow(original.remove),
    });
    await Promise.race([work(openBook()), death]);
    store.beforeCommit = async () => {};
    Object.assign(kernel, original);
    kernel.die();
    return isKilled;
  }

  it.each(RECORDS.map((record) => [interfaceKey(record), record] as const))(
    'after a kill at any moment of making and removing %s finds kernel and store agreeing',
    async (_, record) => {
      let touch = 1;
      for (; ; touch++) {
        store = new FakeInterfaceStore();
        kernel = new FakeKernel();
        kernel.addForeign('eth0', ['192.168.7.2/24']);
        const wasKilled = await runKilledAt(touch, async (book) => {
          await book.change(() => book.make(record));
          await book.change(() => book.remove(record));
        });
        await openBook().reconcile();
        expectAgreement();
        expect(kernel.linkTable.get('eth0')?.addresses).toEqual(['192.168.7.2/24']);
        if (!wasKilled) break;
      }
      expect(touch).toBeGreaterThan(8);
    },
  );

  it('adopts what is there, and mends what somebody took from it', async () => {
    const book = openBook();
    await book.change(() => book.make(TUN));
    const link = kernel.linkTable.get('tun0');
    kernel.linkTable.set('tun0', { ...(link as NonNullable<typeof link>), addresses: [], mtu: 9 });
    await openBook().reconcile();
    expectAgreement();
    expect(kernel.linkTable.get('tun0')?.mtu).toBe(1500);
    expect(warnings).toEqual([]);
  });

  it('makes again what a restart of the machine took', async () => {
    const book = openBook();
    for (const record of RECORDS) await book.change(() => book.make(record));
    kernel.linkTable.clear();
    await openBook().reconcile();
    expectAgreement();
    expect(kernel.linkTable.size).toBe(3);
  });

  it('leaves a link of somebody else alone that has the name, and says so', async () => {
    const book = openBook();
    await book.change(() => book.make(SUBNET));
    kernel.linkTable.clear();
    kernel.addForeign('dummy0', ['172.31.0.1/24']);
    await openBook().reconcile();
    expect(kernel.linkTable.get('dummy0')?.addresses).toEqual(['172.31.0.1/24']);
    expect(warnings).toEqual(['Subnet 10.1.0.0/24 is not as it should be: a link of somebody else is called "dummy0"']);
    expect(store.interfaces()).toEqual([SUBNET]);
  });

  it('does not put a network beside one that has come meanwhile', async () => {
    const book = openBook();
    await book.change(() => book.make(SUBNET));
    kernel.linkTable.clear();
    kernel.addForeign('eth1', ['10.1.0.7/16']);
    await openBook().reconcile();
    expect([...kernel.linkTable.keys()]).toEqual(['eth1']);
    expect(warnings.join()).toContain('eth1');
  });

  it('goes on when something of the journal cannot be removed, and tries again the next time', async () => {
    await store.commit([{ kind: 'put-journal', entry: { intent: 'make', record: TUN } }]);
    await store.commit([{ kind: 'put-interface', record: SUBNET }]);
    kernel.failures.push({ call: 'remove', error: FAILURE });
    await openBook().reconcile();
    expect([...kernel.linkTable.keys()]).toEqual(['dummy0']);
    expect(store.journal()).toHaveLength(1);
    await openBook().reconcile();
    expectAgreement();
  });

  it('does not give back an address whose network somebody else has now', async () => {
    const book = openBook();
    await book.change(() => book.make(SUBNET));
    const link = kernel.linkTable.get('dummy0') as NonNullable<ReturnType<typeof kernel.linkTable.get>>;
    kernel.linkTable.set('dummy0', { ...link, addresses: [] });
    kernel.addForeign('br7', ['10.1.0.1/24']);
    await openBook().reconcile();
    expect(kernel.linkTable.get('dummy0')?.addresses).toEqual([]);
    expect(warnings.join()).toContain('"br7"');
    kernel.linkTable.delete('br7');
    await openBook().reconcile();
    expectAgreement();
  });

  it('goes on with the others when one cannot be made again', async () => {
    const book = openBook();
    for (const record of RECORDS) await book.change(() => book.make(record));
    kernel.linkTable.clear();
    kernel.failures.push({ call: 'makeTun', error: FAILURE });
    await openBook().reconcile();
    expect(kernel.linkTable.size).toBe(2);
    expect(warnings).toHaveLength(1);
  });

  it('does not make again what only has another name now', async () => {
    const book = openBook();
    await book.change(() => book.make(TUN));
    const link = kernel.linkTable.get('tun0') as NonNullable<ReturnType<typeof kernel.linkTable.get>>;
    kernel.linkTable.delete('tun0');
    kernel.linkTable.set('mine', { ...link, name: 'mine' });
    await openBook().reconcile();
    expect([...kernel.linkTable.keys()]).toEqual(['mine']);
    expect(warnings.join()).toContain('"mine"');
  });
});

it('everything is removed on request, and nothing of others', async () => {
  const book = openBook();
  for (const record of RECORDS) await book.change(() => book.make(record));
  kernel.addForeign('dummy7');
  await book.removeAll();
  expect([...kernel.linkTable.keys()]).toEqual(['dummy7']);
  expectAgreement();
});
