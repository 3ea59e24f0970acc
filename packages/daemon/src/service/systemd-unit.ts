/**
 * The units of systemd. What every directive does was tried with a Node.js daemon and a real Nebula under systemd 252;
 * the ones that look arbitrary say why.
 */

import { posix } from 'node:path';
import type { DesktopDescription, ServerDescription, ServiceDescription } from './description.ts';
import { interfacesUnit, openInterfaceFolders } from './interfaces-unit.ts';
import { describeCheck, describeSupervisor, describeTeam, revocationPath } from './service-command-line.ts';
import {
  afterModules,
  execStart,
  HARDENING,
  RESTART_AFTER_HUP,
  type Section,
  TUNNEL_RIGHTS,
} from './systemd-directives.ts';
import { escapeSpecifiers, quoteListedPath } from './systemd-quoting.ts';
import { checkVisible, type MissingFolder, openFolders, type Sandbox } from './systemd-sandbox.ts';
import { listUnits, UNIT_MARKER, type UnitRole } from './unit-names.ts';

export interface UnitText {
  readonly name: string;
  readonly text: string;
}

/**
 * Writes the units of a service: `heddle.service`, for a team of a server its service, its check and the timer, or the
 * service of a REST daemon.
 * @throws {TailnetError} `service/bad-path` for a path that the hardening hides or that belongs to the system.
 */
export function renderSystemdUnits(description: ServiceDescription): readonly UnitText[] {
  checkVisible(description);
  return listUnits(description, 'systemd').map(({ role, name }) => ({ name, text: renderUnit(role, description) }));
}

/**
 * Lists the folders that systemd does not make by itself.
 * @throws {TailnetError} `service/bad-path`.
 */
export function listMissingFolders(description: ServiceDescription): readonly MissingFolder[] {
  if (description.mode === 'interfaces') return openInterfaceFolders(description).folders;
  return description.mode === 'desktop' ? openSupervisorFolders(description).folders : [];
}

function renderUnit(role: UnitRole, description: ServiceDescription): string {
  const blocks = sectionsOf(role, description).map(([title, ...lines]) => [`[${title}]`, ...lines].join('\n'));
  return `# ${UNIT_MARKER}\n\n${blocks.join('\n\n')}\n`;
}

function sectionsOf(role: UnitRole, description: ServiceDescription): readonly Section[] {
  if (description.mode === 'interfaces') return interfacesUnit(description);
  return description.mode === 'desktop' ? supervisorUnit(description) : teamUnit(role, description);
}

function teamUnit(role: UnitRole, description: ServerDescription): readonly Section[] {
  if (role === 'timer') return timerUnit(description);
  return role === 'check' ? checkUnit(description) : nebulaUnit(description);
}

function supervisorUnit(description: DesktopDescription): readonly Section[] {
  return [
    [
      'Unit',
      'Description=heddle, the overlay networks of this machine',
      ...AFTER_NETWORK,
      ...afterModules('tun', 'dummy'),
      'StartLimitIntervalSec=120',
      'StartLimitBurst=5',
    ],
    [
      'Service',
      'Type=notify',
      // Children inherit no notification socket, and if one did, its word would not count.
      'NotifyAccess=main',
      execStart(describeSupervisor(description)),
      'ExecReload=/bin/kill -HUP $MAINPID',
      'Restart=on-failure',
      ...RESTART_AFTER_HUP,
      'RestartSec=2',
      'TimeoutStartSec=30',
      'TimeoutStopSec=15',
      'WatchdogSec=30',
      'WatchdogSignal=SIGKILL',
      // SIGTERM to the supervisor alone, which stops the teams; SIGKILL to what is left.
      'KillMode=mixed',
      'OOMPolicy=continue',
      ...openSupervisorFolders(description).lines,
      ...TUNNEL_RIGHTS,
      ...HARDENING,
      // Without MemoryDenyWriteExecute: V8 writes machine code and dies under it.
      'LimitNOFILE=65536',
      'TasksMax=512',
      'MemoryMax=1G',
    ],
    ['Install', 'WantedBy=multi-user.target'],
  ];
}

function nebulaUnit(description: ServerDescription): readonly Section[] {
  return [
    [
      'Unit',
      `Description=heddle, Nebula team ${description.team}`,
      ...AFTER_NETWORK,
      ...afterModules('tun'),
      `ConditionPathExists=!${escapeSpecifiers(revocationPath(description))}`,
      // A server comes back by itself, however long its network was away.
      'StartLimitIntervalSec=0',
    ],
    [
      'Service',
      // Nebula before 1.8 tells nobody that it is ready.
      'Type=exec',
      execStart(describeTeam(description)),
      'ExecReload=/bin/kill -HUP $MAINPID',
      'Restart=on-failure',
      ...RESTART_AFTER_HUP,
      'RestartSec=5',
      'TimeoutStopSec=5',
      'Environment=GOTRACEBACK=single',
      ...TUNNEL_RIGHTS,
      ...HARDENING,
      'MemoryDenyWriteExecute=yes',
      'LimitNOFILE=65536',
      'TasksMax=128',
      'MemoryMax=512M',
    ],
    ['Install', 'WantedBy=multi-user.target'],
  ];
}

function checkUnit(description: ServerDescription): readonly Section[] {
  const folder = posix.join(description.configRoot, description.team);
  return [
    ['Unit', `Description=heddle, is team ${description.team} still allowed`, ...AFTER_NETWORK],
    [
      'Service',
      'Type=oneshot',
      execStart(describeCheck(description)),
      'TimeoutStartSec=50',
      `ReadWritePaths=${quoteListedPath(`-${folder}`)}`,
      'CapabilityBoundingSet=',
      'PrivateDevices=yes',
      ...HARDENING,
      'TasksMax=64',
      'MemoryMax=256M',
    ],
  ];
}

function timerUnit({ team }: ServerDescription): readonly Section[] {
  return [
    ['Unit', `Description=heddle, every minute: is team ${team} still allowed`],
    // Without AccuracySec the minute may become two.
    ['Timer', 'OnBootSec=30s', 'OnUnitActiveSec=60s', 'AccuracySec=1s'],
    ['Install', 'WantedBy=timers.target'],
  ];
}

const AFTER_NETWORK = [
  'Wants=network-online.target time-sync.target',
  'After=network-online.target nss-lookup.target time-sync.target',
];

/** Where programs that a team runs may log. */
const LOG_FOLDER = '/var/log/tech.deltaops.cvpn';

function openSupervisorFolders(description: DesktopDescription): Sandbox {
  const { socketPath, stateDbPath, logFile, configRoot } = description;
  return openFolders([
    ['runtime', posix.dirname(socketPath)],
    ['state', posix.dirname(stateDbPath)],
    ['logs', LOG_FOLDER],
    ...(logFile === undefined ? [] : [['logs', posix.dirname(logFile)] as const]),
    ['configuration', configRoot],
  ]);
}
