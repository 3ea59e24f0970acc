import { performance } from 'node:perf_hooks';
import { readSocketOwner } from '@heddle/host/socket-owner';
import type { OpenInterfaces } from '../interfaces/open-interfaces.ts';
import { subnetRoutes, tunRoutes } from '../rest/interface-routes.ts';
import type { RestLog } from '../rest/request-handler.ts';
import { type RestServer, startRestServer } from '../rest/rest-server.ts';
import type { AccessFiles } from './access-files.ts';
import type { InterfaceDaemonKind } from './interface-options.ts';

export interface ServeOptions {
  readonly kind: InterfaceDaemonKind;
  readonly port: number;
  readonly interfaces: OpenInterfaces;
  readonly access: AccessFiles;
  readonly version: string;
  readonly log: RestLog;
}

/**
 * Serves `/tun` or `/subnet`.
 * @throws {TailnetError} `rest/port-in-use`, `rest/listen-failed`.
 */
export function serveInterfaces(options: ServeOptions): Promise<RestServer> {
  const { kind, port, interfaces, access, version, log } = options;
  return startRestServer({
    port,
    api: kind === 'tun' ? tunRoutes(interfaces.tun) : subnetRoutes(interfaces.subnet),
    identify: readSocketOwner,
    isOperator: (uid) => access.operatorUids.has(uid),
    token: () => access.token,
    version,
    log,
    nowMs: () => performance.now(),
    answerTimeoutMs: undefined,
  });
}

export interface ServeBothOptions extends Omit<ServeOptions, 'kind' | 'port'> {
  readonly ports: Readonly<Record<InterfaceDaemonKind, number>>;
}

/** `/tun` and `/subnet` of one process. */
export interface RestServers {
  /** Ends both, and lets go of the devices that this process holds. */
  close(): Promise<void>;
}

/**
 * Serves `/tun` and `/subnet`, both or none. The interfaces are closed with them.
 * @throws {TailnetError} `rest/port-in-use`, `rest/listen-failed`.
 */
export async function serveBoth({ ports, ...options }: ServeBothOptions): Promise<RestServers> {
  const kinds: readonly InterfaceDaemonKind[] = ['tun', 'subnet'];
  const starts = await Promise.allSettled(
    kinds.map((kind) => serveInterfaces({ ...options, kind, port: ports[kind] })),
  );
  const servers = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
    await options.interfaces.close();
  };
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed === undefined) return { close };
  await close();
  throw failed.reason;
}
