/** The unit of a REST daemon, `tun_daemon.service` or `subnet_daemon.service`. */

import { posix } from 'node:path';
import type { InterfacesDescription } from './interfaces-description.ts';
import { describeInterfaceDaemon } from './service-command-line.ts';
import {
  afterModules,
  execStart,
  HARDENING,
  RESTART_AFTER_HUP,
  type Section,
  TUNNEL_RIGHTS,
} from './systemd-directives.ts';
import { type FolderKind, openFolders, type Sandbox } from './systemd-sandbox.ts';
import type { InterfaceDaemon } from './unit-names.ts';

/**
 * The sections of the unit.
 * @throws {TailnetError} `service/bad-path` for a folder that hardening hides, or that belongs to the system.
 */
export function interfacesUnit(description: InterfacesDescription): readonly Section[] {
  const { daemon, logGroup } = description;
  return [
    [
      'Unit',
      `Description=heddle, ${TITLES[daemon]}`,
      // After systemd-networkd, which at its start removes what it does not know; before the teams, which look at what
      // is there. It needs no network itself.
      'After=network.target',
      'Before=heddle.service',
      ...afterModules(...MODULES[daemon]),
      'StartLimitIntervalSec=120',
      'StartLimitBurst=5',
    ],
    [
      'Service',
      'Type=notify',
      'NotifyAccess=main',
      execStart(describeInterfaceDaemon(description)),
      'ExecReload=/bin/kill -HUP $MAINPID',
      'Restart=on-failure',
      ...RESTART_AFTER_HUP,
      'RestartSec=2',
      'TimeoutStartSec=30',
      'TimeoutStopSec=15',
      'WatchdogSec=30',
      'WatchdogSignal=SIGKILL',
      ...(logGroup === undefined ? [] : keepGroup(logGroup)),
      ...openInterfaceFolders(description).lines,
      // A subnet may be a TUN device where the kernel has no dummy links.
      ...TUNNEL_RIGHTS,
      ...HARDENING,
      // Of the filter of calls the last line has the last word.
      ...(logGroup === undefined ? [] : ['SystemCallFilter=fchown']),
      // Without MemoryDenyWriteExecute: V8 writes machine code and dies under it.
      'IPAddressDeny=any',
      'IPAddressAllow=localhost',
      'LimitNOFILE=4096',
      'TasksMax=64',
      'MemoryMax=512M',
    ],
    ['Install', 'WantedBy=multi-user.target'],
  ];
}

/**
 * The folders that the daemon writes to. Log files that lie in /var/log itself need all of it: a rotation renames, and a
 * file that is opened alone (`ReadWritePaths=FILE`) is a mount, which cannot be renamed and keeps showing the old file
 * after somebody else renamed it. What is worth most to an intruder there is taken out again; other logs are safe as far
 * as they are not root's, for the unit has no CAP_DAC_OVERRIDE. With the files in a folder of their own none of this is
 * so, but existing installations look for them in /var/log.
 * @throws {TailnetError} `service/bad-path`.
 */
export function openInterfaceFolders({ stateDbPath, logFile, errFile }: InterfacesDescription): Sandbox {
  const logFolders = [...new Set([posix.dirname(logFile), posix.dirname(errFile)])];
  const own = logFolders.filter((folder) => folder !== LOG_ROOT);
  const sandbox = openFolders([
    ['state', posix.dirname(stateDbPath)],
    ...own.map((folder): readonly [FolderKind, string] => ['logs', folder]),
  ]);
  return own.length === logFolders.length ? sandbox : { ...sandbox, lines: [...sandbox.lines, ...LOG_ROOT_LINES] };
}

const TITLES: Readonly<Record<InterfaceDaemon, string>> = {
  tun: 'TUN devices of this machine',
  subnet: 'local subnets of this machine',
};

const MODULES: Readonly<Record<InterfaceDaemon, readonly string[]>> = { tun: ['tun'], subnet: ['dummy', 'tun'] };

const LOG_ROOT = '/var/log';
const LOG_ROOT_LINES = [
  `ReadWritePaths=${LOG_ROOT}`,
  `InaccessiblePaths=${['journal', 'audit', 'private'].map((name) => `-${LOG_ROOT}/${name}`).join(' ')}`,
];

// A file made at a rotation gets the group of the one before, which takes membership and, without CAP_CHOWN, nothing else.
function keepGroup(group: string): readonly string[] {
  return [`SupplementaryGroups=${group}`];
}
