/** Against the kernel with clients of another user, and against tables that say what the kernel seldom says. */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { connect, createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { CAN_RUN_AS_OTHERS } from '../test/other-user.ts';
import { readLsofOwner } from './lsof-owner.ts';
import { decideTcpOwner, readSocketOwner, readTcpOwner, type TcpConnection } from './socket-owner.ts';
import { parseLoopbackTuple, reverseTuple, TCP_STATE, type TcpEnd, type TcpTuple } from './tcp-end.ts';
import { openDiagTable, openProcTable, type TcpTable } from './tcp-tables.ts';

const isLinux = process.platform === 'linux';
const NOBODY = 65534;
const LSOF = spawnSync('which', ['lsof'], { encoding: 'utf8' }).stdout?.trim() ?? '';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Accepted {
  readonly socket: Socket;
  readonly connection: TcpConnection;
  readonly own: TcpTuple;
  readonly client: ChildProcess;
}

/** What a client does after `socket` is connected. */
const STAYS = '';
const SAYS_NO_MORE = 'socket.end("x");';
const CLOSES = 'socket.end("x", () => process.exit());';
const RESETS = 'socket.resetAndDestroy();';

/** A server at `address` with one client, a process of the user; `to` is how that one calls the address. */
async function accept(address: string, options: { to?: string; uid?: number; afterwards?: string }): Promise<Accepted> {
  const { to = address, uid = NOBODY, afterwards = STAYS } = options;
  const server: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, address);
  await once(server, 'listening');
  closers.push(() => server.close());
  const { port } = server.address() as { port: number };
  const script = `
    const socket = require('node:net').connect({ port: ${port}, host: '${to}', allowHalfOpen: true }, () => { ${afterwards} });
    socket.on('error', () => {});`;
  const client = spawn(process.execPath, ['-e', script], { uid, gid: uid, stdio: 'ignore' });
  closers.push(() => client.kill('SIGKILL'));
  const [socket] = (await once(server, 'connection')) as [Socket];
  socket.on('error', () => {});
  closers.push(() => socket.destroy());
  const connection = {
    local: { address: socket.localAddress!, port: socket.localPort! },
    remote: { address: socket.remoteAddress!, port: socket.remotePort! },
    inode: fstatSync((socket as unknown as { _handle: { fd: number } })._handle.fd).ino,
  };
  return { socket, connection, own: parseLoopbackTuple(connection.local, connection.remote)!, client };
}

const WAYS = [
  ['127.0.0.1', '127.0.0.1'],
  ['127.9.8.7', '127.9.8.7'],
  ['::1', '::1'],
  ['127.0.0.1', '::ffff:127.0.0.1'],
] as const;

describe.skipIf(!CAN_RUN_AS_OTHERS)(
  'the owner of a client (needs Linux, root for clients of other users, and a Node.js that they may run)',
  () => {
    it.each(WAYS)('is found at %s called %s', async (address, to) => {
      const { socket, connection } = await accept(address, { to });
      expect(await readSocketOwner(socket)).toEqual({ uid: NOBODY });
      expect(await readTcpOwner(connection)).toEqual({ uid: NOBODY });
      expect(await readTcpOwner({ ...connection, inode: undefined })).toEqual({ uid: NOBODY });
      expect(await readTcpOwner(connection, [openProcTable])).toEqual({ uid: NOBODY });
    });

    it('is found at a server that takes both families', async () => {
      const { socket } = await accept('::', { to: '127.0.0.1' });
      expect(socket.remoteAddress).toBe('::ffff:127.0.0.1');
      expect(await readSocketOwner(socket)).toEqual({ uid: NOBODY });
    });

    it('is told apart among clients of several users', async () => {
      for (const uid of [0, NOBODY, 12345]) {
        const { socket } = await accept('127.0.0.1', { uid });
        expect(await readSocketOwner(socket)).toEqual({ uid });
      }
    });

    it('is found when the client has said that it sends no more', async () => {
      const { socket, own } = await accept('127.0.0.1', { afterwards: SAYS_NO_MORE });
      socket.resume();
      await once(socket, 'end');
      const table = openDiagTable();
      closers.push(() => table.close());
      expect([TCP_STATE.finWait1, TCP_STATE.finWait2]).toContain(table.find(reverseTuple(own))?.state);
      expect(await readSocketOwner(socket)).toEqual({ uid: NOBODY });
    });

    it.each(['127.0.0.1', '::1'])('is nobody, not root, when the client at %s has closed', async (address) => {
      const { socket, connection, own, client } = await accept(address, { afterwards: CLOSES });
      if (client.exitCode === null) await once(client, 'exit');
      for (const open of [openDiagTable, openProcTable]) {
        const table = open();
        closers.push(() => table.close());
        expect(table.find(own)).toMatchObject({ inode: connection.inode });
        expect(table.find(reverseTuple(own))).toMatchObject({ inode: 0 });
        expect(await readTcpOwner(connection, [open])).toBeUndefined();
      }
      expect(await readSocketOwner(socket)).toBeUndefined();
    });

    it('is nobody when the client has reset the connection', async () => {
      const { socket, connection, client } = await accept('127.0.0.1', { afterwards: RESETS });
      client.kill('SIGKILL');
      await once(client, 'exit');
      expect(await readSocketOwner(socket)).toBeUndefined();
      expect(await readTcpOwner(connection)).toBeUndefined();
    });

    it('is nobody when our end is another socket, or closed', async () => {
      const { socket, connection } = await accept('127.0.0.1', {});
      expect(await readTcpOwner({ ...connection, inode: connection.inode! + 1 })).toBeUndefined();
      socket.destroy();
      expect(await readSocketOwner(socket)).toBeUndefined();
      await once(socket, 'close');
      expect(await readTcpOwner(connection)).toBeUndefined();
    });

    it('is asked of the next table when one cannot be opened or does not know our end', async () => {
      const { connection } = await accept('127.0.0.1', {});
      const broken = () => {
        throw new Error('no such table');
      };
      const empty = () => tableOf([]);
      expect(await readTcpOwner(connection, [broken, empty, openProcTable])).toEqual({ uid: NOBODY });
      expect(await readTcpOwner(connection, [broken, empty])).toBeUndefined();
      expect(await readTcpOwner(connection, [])).toBeUndefined();
    });

    it('is not asked of the next table when one knew our end of another connection', async () => {
      const { connection } = await accept('127.0.0.1', {});
      let isListed = true;
      const first = () => (isListed ? openDiagTable() : tableOf([]));
      expect(await readTcpOwner(connection, [first])).toEqual({ uid: NOBODY });
      isListed = false;
      let isRead = false;
      const second = () => {
        isRead = true;
        return openProcTable();
      };
      expect(await readTcpOwner(connection, [first, second])).toBeUndefined();
      expect(isRead).toBe(false);
    });

    it('is what the tables of the kernel and iproute2 agree on', async ({ skip }) => {
      if (spawnSync('ss', ['-V']).status !== 0) skip('needs ss of iproute2');
      const { own, connection } = await accept('::1', {});
      const line = execFileSync('ss', ['-Htne', 'sport', '=', String(connection.remote.port)], { encoding: 'utf8' });
      const inode = Number(/ ino:(\d+) /.exec(line)?.[1]);
      expect(line).toContain(`uid:${NOBODY} `);
      for (const table of [openDiagTable(), openProcTable()]) {
        expect(table.find(reverseTuple(own))).toEqual({ state: TCP_STATE.established, uid: NOBODY, inode });
        table.close();
      }
    });

    it('is not that of the socket which listens at the address of the client', async () => {
      const { connection } = await accept('127.0.0.1', {});
      const listener = parseLoopbackTuple(connection.local, { address: '127.0.0.1', port: 1 })!;
      for (const table of [openDiagTable(), openProcTable()]) {
        expect(table.find(listener)).toBeUndefined();
        table.close();
      }
    });

    it.skipIf(LSOF === '')('is found by lsof as well (needs lsof)', async () => {
      for (const address of ['127.0.0.1', '::1']) {
        const { connection } = await accept(address, {});
        const { local, remote } = connection;
        expect(await readLsofOwner(local, remote, LSOF)).toEqual({ uid: NOBODY });
        expect(await readLsofOwner(remote, local, LSOF)).toBeUndefined();
        expect(await readLsofOwner(local, remote, '/bin/false')).toBeUndefined();
        expect(await readLsofOwner(local, remote, '/nonexistent/lsof')).toBeUndefined();
      }
    });

    it.skipIf(LSOF === '')('is not asked of lsof more than eight times at once (needs lsof)', async () => {
      const { connection } = await accept('127.0.0.1', {});
      const ask = () => readLsofOwner(connection.local, connection.remote, LSOF);
      const answers = await Promise.all(Array.from({ length: 10 }, ask));
      expect(answers.filter((answer) => answer === undefined).length).toBeGreaterThanOrEqual(2);
      expect(await ask()).toEqual({ uid: NOBODY });
    });
  },
);

describe.skipIf(!isLinux)('the owner of a client in this process', () => {
  it('is this user', async () => {
    const server = createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as { port: number }).port, '127.0.0.1');
    const [socket] = (await once(server, 'connection')) as [Socket];
    closers.push(() => void [server.close(), client.destroy(), socket.destroy()]);
    expect(await readSocketOwner(socket)).toEqual({ uid: process.getuid?.() });
  });
});

describe.skipIf(!CAN_RUN_AS_OTHERS)(
  'the owner of the server that we are connected to (needs Linux, root for another user, and a Node.js that it may run)',
  () => {
    it.each(['127.0.0.1', '::1'])('at %s is found as soon as it has answered', async (address) => {
      const script = `
      const server = require('node:net').createServer((socket) => socket.write('x'));
      server.listen(0, '${address}', () => console.log(server.address().port));`;
      const child = spawn(process.execPath, ['-e', script], {
        uid: NOBODY,
        gid: NOBODY,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      closers.push(() => child.kill('SIGKILL'));
      const [port] = (await once(child.stdout!, 'data')) as [Buffer];
      const socket = connect(Number(port.toString()), address);
      closers.push(() => socket.destroy());
      await once(socket, 'data');
      expect(await readSocketOwner(socket)).toEqual({ uid: NOBODY });
    });

    const hasPython = spawnSync('python3', ['-c', '']).status === 0;
    it.skipIf(!hasPython)('is nobody while the connection waits to be accepted (needs python3)', async () => {
      const script = `
      import socket
      server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(4)
      print(server.getsockname()[1], flush=True)
      input()`.replaceAll(/^ {6}/gm, '');
      const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] });
      closers.push(() => child.kill('SIGKILL'));
      const [port] = (await once(child.stdout, 'data')) as [Buffer];
      const socket = connect(Number(port.toString()), '127.0.0.1');
      closers.push(() => socket.destroy());
      await once(socket, 'connect');
      expect(await readSocketOwner(socket)).toBeUndefined();
    });
  },
);

const OWN = parseLoopbackTuple({ address: '127.0.0.1', port: 3030 }, { address: '127.0.0.1', port: 50412 })!;
const OURS: TcpEnd = { state: TCP_STATE.established, uid: 0, inode: 11 };
const THEIRS: TcpEnd = { state: TCP_STATE.established, uid: 1000, inode: 22 };

function tableOf(entries: readonly (readonly [TcpTuple, TcpEnd])[]): TcpTable {
  return {
    find: (tuple) => entries.find(([known]) => known.from.port === tuple.from.port)?.[1],
    close: () => {},
  };
}

describe('the decision by a table', () => {
  const decide = (ours: TcpEnd | undefined, theirs: TcpEnd | undefined, inode: number | undefined = 11) =>
    decideTcpOwner(
      tableOf([
        ...(ours === undefined ? [] : [[OWN, ours] as const]),
        ...(theirs === undefined ? [] : [[reverseTuple(OWN), theirs] as const]),
      ]),
      OWN,
      inode,
    );

  it('is the user of the client while both ends are held', () => {
    expect(decide(OURS, THEIRS)).toEqual({ uid: 1000 });
    expect(decide(OURS, { ...THEIRS, uid: 0 })).toEqual({ uid: 0 });
    expect(decide({ ...OURS, state: TCP_STATE.closeWait }, { ...THEIRS, state: TCP_STATE.finWait2 })).toEqual({
      uid: 1000,
    });
  });

  it('is left to another table where this one does not have our end', () => {
    expect(decide(undefined, THEIRS)).toBe('unlisted');
    expect(decide(undefined, undefined)).toBe('unlisted');
  });

  it('is nobody without the client, or with one that has no file any more', () => {
    expect(decide(OURS, undefined)).toBeUndefined();
    expect(decide(OURS, { ...THEIRS, uid: 0, inode: 0 })).toBeUndefined();
    expect(decide(OURS, { ...THEIRS, uid: 0xffffffff })).toBeUndefined();
  });

  it('is nobody for every state of the client in which a connection is not there', () => {
    const counted = Array.from({ length: 14 }, (_, state) => state).filter(
      (state) => decide(OURS, { ...THEIRS, state }) !== undefined,
    );
    expect(counted).toEqual([1, 4, 5, 8]); // Not SYN-SENT 2, SYN-RECEIVED 3, TIME-WAIT 6, CLOSE 7, LISTEN 10, NEW-SYN 12.
  });

  it('is nobody when our end is over, another socket than the accepted one, or not accepted yet', () => {
    const counted = Array.from({ length: 14 }, (_, state) => state).filter(
      (state) => decide({ ...OURS, state }, THEIRS) !== undefined,
    );
    expect(counted).toEqual([1, 8]);
    expect(decide({ ...OURS, inode: 12 }, THEIRS)).toBeUndefined();
    expect(decide({ ...OURS, inode: 0 }, THEIRS)).toBeUndefined();
    expect(
      decideTcpOwner(
        tableOf([
          [OWN, { ...OURS, inode: 0 }],
          [reverseTuple(OWN), THEIRS],
        ]),
        OWN,
        undefined,
      ),
    ).toBeUndefined();
  });

  it('looks at our end last, so that a client which took the place of ours is noticed', () => {
    const asked: number[] = [];
    const find = (tuple: TcpTuple) => {
      asked.push(tuple.from.port);
      return tuple.from.port === 3030 ? OURS : THEIRS;
    };
    decideTcpOwner({ find }, OWN, 11);
    expect(asked).toEqual([50412, 3030]);
  });
});

describe('the owner of anything but a client on this machine', () => {
  it('is nobody', async () => {
    const own = { address: '127.0.0.1', port: 3030 };
    let askedCount = 0;
    const counting = () => {
      askedCount += 1;
      return tableOf([]);
    };
    for (const address of ['10.0.0.1', '192.0.2.1', '::ffff:10.0.0.1', 'fe80::1%lo', '::1', '', '0.0.0.0']) {
      const remote = { address, port: 50412 };
      expect(await readTcpOwner({ local: own, remote, inode: undefined }, [counting])).toBeUndefined();
      expect(await readTcpOwner({ local: remote, remote: own, inode: undefined }, [counting])).toBeUndefined();
    }
    expect(askedCount).toBe(0);
    expect(await readSocketOwner(new Socket())).toBeUndefined();
  });
});
