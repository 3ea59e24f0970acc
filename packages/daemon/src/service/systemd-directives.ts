/** Directives that several units have in common. */

import { quoteArgument, quoteProgram } from './systemd-quoting.ts';

/** A section of a unit and its lines. */
export type Section = readonly [title: string, ...lines: string[]];

/** The line that starts a program. */
export function execStart([program, ...args]: readonly [string, ...string[]]): string {
  return `ExecStart=${[quoteProgram(program), ...args.map(quoteArgument)].join(' ')}`;
}

/** Has modules of the kernel loaded first: the unit itself may load none. A systemd without these units goes on without. */
export function afterModules(...modules: readonly string[]): readonly string[] {
  const units = modules.map((name) => `modprobe@${name}.service`).join(' ');
  return [`Wants=${units}`, `After=${units}`];
}

/** For systemd SIGHUP is a clean end, but a reload that comes before the process listens for it kills it. */
export const RESTART_AFTER_HUP: readonly string[] = ['RestartForceExitStatus=SIGHUP'];

/** What it takes to make TUN devices. ProtectClock makes a list of allowed devices, which would leave theirs out. */
export const TUNNEL_RIGHTS: readonly string[] = [
  'CapabilityBoundingSet=CAP_NET_ADMIN',
  'DevicePolicy=closed',
  'DeviceAllow=/dev/net/tun rw',
];

/** What no program of ours needs. */
export const HARDENING: readonly string[] = [
  'UMask=0077',
  'NoNewPrivileges=yes',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'ProtectControlGroups=yes',
  'ProtectProc=invisible',
  'LockPersonality=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'RestrictNamespaces=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged @resources @obsolete',
  // Go asks for its limits when it starts: refused it goes on, without this line it is killed.
  'SystemCallErrorNumber=EPERM',
  'KeyringMode=private',
  'LimitCORE=0',
];
