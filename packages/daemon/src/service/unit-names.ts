/** Which service of this machine is meant. */
export type ServiceIdentity =
  | { readonly mode: 'desktop' }
  /** The name fits `describeService`'s pattern. */
  | { readonly mode: 'server'; readonly team: string }
  | { readonly mode: 'interfaces'; readonly daemon: InterfaceDaemon };

/** What a REST daemon makes: TUN devices, or links of local subnets. */
export type InterfaceDaemon = 'tun' | 'subnet';

export type ServiceManager = 'systemd' | 'launchd';

/** What a unit or job is there for. */
export type UnitRole = 'supervisor' | 'team' | 'check' | 'timer' | 'interfaces';

export interface UnitName {
  readonly role: UnitRole;
  /** What the service manager calls it: `heddle.service`, or a label of launchd. */
  readonly name: string;
  readonly path: string;
}

/** Stands in the first lines of every file we write, as a comment; a file without it is somebody else's. */
export const UNIT_MARKER = 'Written by heddle. "heddle uninstall" removes this file; do not edit it.';

/** The files of a service, in the order in which they are written. */
export function listUnits(identity: ServiceIdentity, manager: ServiceManager): readonly UnitName[] {
  return manager === 'systemd' ? listSystemdUnits(identity) : listLaunchdJobs(identity);
}

/** True for text that we have written. A marker further down may be a quotation. */
export function isOurUnit(text: string): boolean {
  return text.split('\n', 4).some((line) => /^(# |<!-- )/.test(line) && line.includes(UNIT_MARKER));
}

function listSystemdUnits(identity: ServiceIdentity): readonly UnitName[] {
  if (identity.mode === 'desktop') return [systemdUnit('supervisor', 'heddle.service')];
  // Existing installations know these two by names without ours.
  if (identity.mode === 'interfaces') return [systemdUnit('interfaces', `${identity.daemon}_daemon.service`)];
  return [
    systemdUnit('team', `heddle-team@${identity.team}.service`),
    systemdUnit('check', `heddle-auth@${identity.team}.service`),
    systemdUnit('timer', `heddle-auth@${identity.team}.timer`),
  ];
}

// launchd has no timers of their own: the check is a job with an interval.
function listLaunchdJobs(identity: ServiceIdentity): readonly UnitName[] {
  if (identity.mode === 'desktop') return [launchdJob('supervisor', LABEL)];
  if (identity.mode === 'interfaces') return [launchdJob('interfaces', `com.${identity.daemon}.daemon`)];
  return [launchdJob('team', `${LABEL}.team.${identity.team}`), launchdJob('check', `${LABEL}.auth.${identity.team}`)];
}

const LABEL = 'tech.deltaops.cvpn';

function systemdUnit(role: UnitRole, name: string): UnitName {
  return { role, name, path: `/etc/systemd/system/${name}` };
}

function launchdJob(role: UnitRole, name: string): UnitName {
  return { role, name, path: `/Library/LaunchDaemons/${name}.plist` };
}
