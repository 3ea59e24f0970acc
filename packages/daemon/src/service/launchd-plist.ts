/**
 * The jobs of launchd (launchd.plist(5)). It runs them as root and knows no hardening; it must find them in
 * /Library/LaunchDaemons, owned by root and writable by nobody else. Programs must stay in the foreground.
 */

import type { ServiceDescription } from './description.ts';
import {
  type Command,
  describeCheck,
  describeInterfaceDaemon,
  describeSupervisor,
  describeTeam,
  revocationPath,
} from './service-command-line.ts';
import type { UnitText } from './systemd-unit.ts';
import { listUnits, UNIT_MARKER, type UnitRole } from './unit-names.ts';

/** Writes the jobs of a service: the supervisor, a REST daemon, or for a team of a server Nebula and its check. Names are labels. */
export function renderLaunchdPlists(description: ServiceDescription): readonly UnitText[] {
  return listUnits(description, 'launchd').map(({ role, name }) => ({
    name,
    text: renderPlist(describeJob(role, name, description)),
  }));
}

/** What a job prints. launchd keeps it open and never rotates it; heddle's own logs are files that it opens itself. */
export function launchdLogPath(label: string): string {
  return `/var/log/${label}.launchd.log`;
}

type PlistValue = string | number | boolean | readonly PlistValue[] | PlistDict;
interface PlistDict {
  readonly [key: string]: PlistValue;
}

function describeJob(role: UnitRole, label: string, description: ServiceDescription): PlistDict {
  const output = launchdLogPath(label);
  return {
    Label: label,
    ProgramArguments: commandOf(role, description),
    ...scheduleOf(role, description),
    UserName: 'root',
    GroupName: 'wheel',
    Umask: 0o077,
    SoftResourceLimits: { NumberOfFiles: 8192 },
    StandardOutPath: output,
    StandardErrorPath: output,
    EnvironmentVariables: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' },
  };
}

// SIGTERM, then SIGKILL after ExitTimeOut; the supervisor needs up to 6 s for its teams.
function scheduleOf(role: UnitRole, description: ServiceDescription): PlistDict {
  if (role === 'check') return { RunAtLoad: true, StartInterval: 60, ExitTimeOut: 5 };
  const restart: PlistDict = { ThrottleInterval: 10, ExitTimeOut: 15 };
  if (description.mode !== 'server') return { RunAtLoad: true, KeepAlive: { SuccessfulExit: false }, ...restart };
  // launchd starts a job that is to be kept alive, so without RunAtLoad a revoked team stays down.
  return { KeepAlive: { PathState: { [revocationPath(description)]: false } }, ...restart };
}

function commandOf(role: UnitRole, description: ServiceDescription): Command {
  if (description.mode === 'interfaces') return describeInterfaceDaemon(description);
  if (description.mode === 'desktop') return describeSupervisor(description);
  return role === 'check' ? describeCheck(description) : describeTeam(description);
}

function renderPlist(job: PlistDict): string {
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<!-- ${UNIT_MARKER} -->`,
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<plist version="1.0">',
    ...renderValue(job),
    '</plist>',
    '',
  ].join('\n');
}

function renderValue(value: PlistValue): readonly string[] {
  if (typeof value === 'string') return [`<string>${escapeXml(value)}</string>`];
  if (typeof value === 'number') return [`<integer>${value}</integer>`];
  if (typeof value === 'boolean') return [value ? '<true/>' : '<false/>'];
  if (isList(value)) return ['<array>', ...value.flatMap(renderValue).map(indent), '</array>'];
  const entries = Object.entries(value).flatMap(([key, entry]) => [
    `<key>${escapeXml(key)}</key>`,
    ...renderValue(entry),
  ]);
  return ['<dict>', ...entries.map(indent), '</dict>'];
}

function isList(value: readonly PlistValue[] | PlistDict): value is readonly PlistValue[] {
  return Array.isArray(value);
}

function indent(line: string): string {
  return `  ${line}`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
