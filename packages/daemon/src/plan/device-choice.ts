import type { RememberedChoice, TeamClaims } from './claims.ts';
import { DEVICE_ATTEMPT_COUNT_MAX, deriveDeviceName, isDerivedDeviceName, isDeviceName } from './device-name.ts';
import { type Finding, quote } from './finding.ts';
import type { Reservations } from './reservations.ts';
import type { Surroundings } from './surroundings.ts';

/** A device name, or none because the team needs none or no name is left; the finding says when it is not the wish. */
export interface DeviceChoice {
  readonly device: string | undefined;
  readonly finding: Finding | undefined;
}

/** The links that belong to a team already, from a run that has not ended or not been cleaned up. */
export function findOwnDevices(
  team: TeamClaims,
  surroundings: Surroundings,
  remembered: RememberedChoice,
): ReadonlySet<string> {
  const names = new Set<string>();
  const running = surroundings.findTeam(team.team);
  if (running?.wantsDevice && running.device !== undefined) names.add(running.device);
  // Nobody else makes such names; one the user chose, as nebula1, may be somebody else's by now.
  const { device } = remembered;
  const kind = device === undefined ? undefined : surroundings.links.get(device)?.kind;
  if (device !== undefined && isDerivedDeviceName(device) && (kind ?? 'tun') === 'tun') names.add(device);
  for (const name of names) if (surroundings.findDeviceOwner(name, team.team) !== undefined) names.delete(name);
  return names;
}

/** Takes the remembered name, else the user's, else one derived from the team's: the first that nobody has. */
export function chooseDevice(
  team: TeamClaims,
  surroundings: Surroundings,
  remembered: RememberedChoice,
  reservations: Reservations,
): DeviceChoice {
  if (!team.wantsDevice) return { device: undefined, finding: undefined };
  const ownDevices = findOwnDevices(team, surroundings, remembered);
  const kept = [remembered.device].filter((name) => name !== undefined && isDeviceName(name));
  const wanted = team.device === '' ? undefined : team.device;
  const wishes = [...kept, ...(wanted === undefined ? [] : [wanted])] as readonly string[];
  for (const name of candidates(team.team, wishes)) {
    if (!isDeviceName(name) || ownerOf(name, team, surroundings, ownDevices) !== undefined) continue;
    if (name !== kept[0] && reservations.isDeviceKept(name, team.team)) continue;
    const wish = wishes[0] ?? deriveDeviceName(team.team, 0);
    return {
      device: name,
      finding: name === wish ? undefined : describeMove(team, wish, name, surroundings, ownDevices),
    };
  }
  return { device: undefined, finding: describeNone(team) };
}

function* candidates(team: string, wishes: readonly string[]): Generator<string> {
  yield* wishes;
  for (let attempt = 0; attempt < DEVICE_ATTEMPT_COUNT_MAX; attempt++) yield deriveDeviceName(team, attempt);
}

/** Who has the name, in words; undefined when the team may take it. */
function ownerOf(
  name: string,
  team: TeamClaims,
  surroundings: Surroundings,
  ownDevices: ReadonlySet<string>,
): string | undefined {
  const owner = surroundings.findDeviceOwner(name, team.team);
  if (owner !== undefined) return `team ${quote(owner.team)}`;
  return surroundings.links.has(name) && !ownDevices.has(name) ? 'another link of that name' : undefined;
}

function describeMove(
  team: TeamClaims,
  from: string,
  to: string,
  surroundings: Surroundings,
  ownDevices: ReadonlySet<string>,
): Finding {
  const name = quote(team.team);
  if (!isDeviceName(from)) {
    return {
      severity: 'moved',
      code: 'plan/bad-device-name',
      message: `Device ${quote(from)} of team ${name} is not a plain name of 1 to 15 characters, it becomes ${quote(to)}`,
      next: `nothing, ${quote(to)} is remembered; or correct tun.dev of ${name}`,
    };
  }
  const owner = ownerOf(from, team, surroundings, ownDevices) ?? 'another team that remembers it';
  return {
    severity: 'moved',
    code: 'plan/device-taken',
    message: `Device ${quote(from)} of team ${name} is taken by ${owner}, it becomes ${quote(to)}`,
    next: `nothing, ${quote(to)} is remembered`,
  };
}

function describeNone(team: TeamClaims): Finding {
  return {
    severity: 'refusal',
    code: 'plan/device-taken',
    message: `All ${DEVICE_ATTEMPT_COUNT_MAX} device names for team ${quote(team.team)} are taken`,
    next: 'remove links that nobody needs (ip link shows them), or set tun.dev to a free name',
  };
}
