import type { Socket } from 'node:net';
import { type IpAddress, parseAddress } from '@heddle/proto/ip/address';
import type { TailnetConnection } from '../types.ts';
import type { OpenConnection } from './connection-log.ts';
import { describeDialFailure } from './dial-failure.ts';
import type { HandshakeReader } from './handshake-reader.ts';
import { formatHostPort, type HostPort } from './listen-spec.ts';
import { DIAL_TIMEOUT_MS, type ProxyContext, refuse } from './proxy-context.ts';
import {
  decodeGreeting,
  decodeLogin,
  decodeRequest,
  encodeLoginStatus,
  encodeMethod,
  encodeReply,
  SocksCommand,
  SocksMethod,
  SocksReply,
  type SocksRequest,
} from './socks5.ts';
import { splice } from './splice.ts';
import { serveUdpAssociation } from './udp-association.ts';

const NO_ADDRESS = parseAddress('0.0.0.0') as IpAddress;

/** Serves one SOCKS5 client from its greeting on. Never rejects: what goes wrong ends the connection. */
export async function serveSocks(socket: Socket, reader: HandshakeReader, context: ProxyContext): Promise<void> {
  const request = (await isWelcome(reader, socket, context)) ? await readRequest(reader, socket) : undefined;
  if (request === undefined) {
    reader.discard();
    return;
  }
  context.deadlines.clear(socket);
  reader.release();
  switch (request.command) {
    case SocksCommand.connect:
      await connect(socket, request.target, context);
      return;
    case SocksCommand.udpAssociate:
      await serveUdpAssociation(socket, context);
      return;
    default:
      refuse(socket, encodeReply(SocksReply.badCommand, NO_ADDRESS, 0));
  }
}

/** Agrees on a method and checks the login if one is demanded. False: the client has its answer. */
async function isWelcome(reader: HandshakeReader, socket: Socket, { credentials }: ProxyContext): Promise<boolean> {
  const greeting = await reader.read(decodeGreeting);
  if (typeof greeting !== 'object') {
    socket.destroy();
    return false;
  }
  // Without a token, clients that insist on logging in may do so with anything.
  const isLogin = credentials !== undefined || !greeting.message.includes(SocksMethod.none);
  const method = isLogin ? SocksMethod.login : SocksMethod.none;
  if (!greeting.message.includes(method)) {
    refuse(socket, encodeMethod(SocksMethod.refused));
    return false;
  }
  socket.write(encodeMethod(method));
  if (!isLogin) return true;
  const login = await reader.read(decodeLogin);
  if (typeof login !== 'object') {
    socket.destroy();
    return false;
  }
  const isAccepted = credentials?.isAccepted(login.message.user, login.message.token) ?? true;
  if (isAccepted) socket.write(encodeLoginStatus(true));
  else refuse(socket, encodeLoginStatus(false));
  return isAccepted;
}

async function readRequest(reader: HandshakeReader, socket: Socket): Promise<SocksRequest | undefined> {
  const request = await reader.read(decodeRequest);
  if (typeof request === 'object') return request.message;
  if (request === 'bad-address-type') refuse(socket, encodeReply(SocksReply.badAddress, NO_ADDRESS, 0));
  else if (request === 'bad-host') refuse(socket, encodeReply(SocksReply.hostUnreachable, NO_ADDRESS, 0));
  else socket.destroy();
  return undefined;
}

async function connect(socket: Socket, target: HostPort, context: ProxyContext): Promise<void> {
  const record = context.connections.open('socks5', formatHostPort(target));
  let connection: TailnetConnection;
  try {
    connection = await context.node.dial(target.host, target.port, { timeoutMs: DIAL_TIMEOUT_MS });
  } catch (error) {
    const failure = describeDialFailure(error);
    record.finish(failure.code);
    const fields = { target: record.target, code: failure.code };
    context.log({ level: 'debug', message: `Cannot connect to ${record.target}: ${failure.message}`, fields });
    refuse(socket, encodeReply(failure.socksReply, NO_ADDRESS, 0));
    return;
  }
  const local = parseAddress(connection.localAddress) ?? NO_ADDRESS;
  socket.write(encodeReply(SocksReply.ok, local, connection.localPort));
  spliceRecorded(socket, connection, record);
}

/** Splices a client to its target and keeps the record. */
export function spliceRecorded(client: Socket, target: TailnetConnection, record: OpenConnection): void {
  splice({
    client,
    target,
    onSent: (bytes) => {
      record.sentBytes += bytes;
    },
    onReceived: (bytes) => {
      record.receivedBytes += bytes;
    },
    onEnd: (outcome) => record.finish(outcome),
  });
}
