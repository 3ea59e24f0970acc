import { parseAddress } from '@heddle/proto/ip/address';
import type { ForwardPort, RememberedChoice, TeamClaims } from './claims.ts';
import { type Finding, type FindingCode, quote } from './finding.ts';
import { choosePort, isPort, PORT_MAX, type PortChoice } from './port-choice.ts';
import type { Reservations } from './reservations.ts';
import type { Surroundings } from './surroundings.ts';

/** Ports of one team. A port is undefined when the team has none of that kind, and 0 when any will do. */
export interface PortPlan {
  readonly listenPort: number | undefined;
  readonly proxyPort: number | undefined;
  readonly findings: readonly Finding[];
}

interface Asker {
  readonly team: TeamClaims;
  readonly surroundings: Surroundings;
  readonly remembered: RememberedChoice;
  readonly reservations: Reservations;
  /** The claims of the team itself when it runs: its own listeners are not in its way. */
  readonly running: TeamClaims | undefined;
}

/** Chooses the UDP port and the proxy port, and checks what cannot move: a lighthouse's port and the forwards. */
export function planPorts(
  team: TeamClaims,
  surroundings: Surroundings,
  remembered: RememberedChoice,
  reservations: Reservations,
): PortPlan {
  const asker = { team, surroundings, remembered, reservations, running: surroundings.findTeam(team.team) };
  const [listenPort, listenFinding] = team.isListenPortFixed ? checkFixedPort(asker) : chooseListenPort(asker);
  const [proxyPort, proxyFinding] = team.proxyPort === undefined ? NOTHING : chooseProxyPort(asker, team.proxyPort);
  const findings = [listenFinding, proxyFinding].filter((finding) => finding !== undefined);
  return { listenPort, proxyPort, findings: [...findings, ...checkForwards(asker)] };
}

type Chosen = readonly [port: number | undefined, finding: Finding | undefined];

const NOTHING: Chosen = [undefined, undefined];

function checkFixedPort(asker: Asker): Chosen {
  const { team } = asker;
  const port = team.listenPort ?? 0;
  if (port === 0) return [undefined, describeMissing(team)];
  if (!isPort(port)) return [undefined, describeBadPort(team, 'UDP', port)];
  const owner = findUdpOwner(asker, port);
  if (owner === undefined) return [port, undefined];
  const message = `UDP port ${port} of team ${quote(team.team)} is taken by ${owner.name}, and others know the port`;
  return [undefined, { severity: 'refusal', code: 'plan/port-taken', message, next: wayOut(team, owner, 'ss -lunp') }];
}

function chooseListenPort(asker: Asker): Chosen {
  const { team, remembered, reservations } = asker;
  const wanted = team.listenPort ?? 0;
  if (wanted !== 0 && !isPort(wanted)) return [undefined, describeBadPort(team, 'UDP', wanted)];
  const choice = choosePort({
    remembered: remembered.listenPort,
    wanted,
    isTaken: (port) => findUdpOwner(asker, port) !== undefined,
    isKept: (port) => reservations.isUdpPortKept(port, team.team),
  });
  return settle(asker, choice, 'UDP', 'plan/port-taken', findUdpOwner);
}

function chooseProxyPort(asker: Asker, wanted: number): Chosen {
  const { team, remembered, reservations } = asker;
  if (wanted !== 0 && !isPort(wanted)) return [undefined, describeBadPort(team, 'Proxy', wanted)];
  const choice = choosePort({
    remembered: remembered.proxyPort,
    wanted,
    isTaken: (port) => findProxyPortOwner(asker, port) !== undefined,
    isKept: (port) => reservations.isTcpPortKept(port, team.team),
  });
  return settle(asker, choice, 'Proxy', 'plan/proxy-port-taken', findProxyPortOwner);
}

interface Owner {
  readonly name: string;
  /** The other team, when it is one. */
  readonly team: string | undefined;
}

const STRANGER: Owner = { name: 'another program', team: undefined };

function settle(
  { team, ...rest }: Asker,
  choice: PortChoice,
  what: 'UDP' | 'Proxy',
  code: FindingCode,
  findOwner: (asker: Asker, port: number) => Owner | undefined,
): Chosen {
  if (choice.kind === 'port' && choice.movedFrom === undefined) return [choice.port, undefined];
  const from = choice.movedFrom as number;
  const owner = findOwner({ team, ...rest }, from)?.name ?? 'another team that remembers it';
  const taken = `${what} port ${from} of team ${quote(team.team)} is taken by ${owner}`;
  if (choice.kind === 'none') {
    const next = 'end programs that use ports nobody needs';
    return [undefined, { severity: 'refusal', code, message: `${taken}, and no other port is free`, next }];
  }
  const message = `${taken}, it becomes ${choice.port}`;
  return [choice.port, { severity: 'moved', code, message, next: `nothing, port ${choice.port} is remembered` }];
}

function checkForwards(asker: Asker): readonly Finding[] {
  const { team } = asker;
  return team.forwardPorts.flatMap((forward, i) => {
    if (forward.port === 0) return [];
    if (!isPort(forward.port)) return [describeBadPort(team, 'Forward', forward.port)];
    const isTwice = team.forwardPorts.slice(0, i).some((earlier) => hasSameListener(earlier, forward));
    const owner = isTwice ? { name: 'another forward of it', team: undefined } : findForwardOwner(asker, forward);
    if (owner === undefined) return [];
    const message = `Forward port ${forward.port} of team ${quote(team.team)} is taken by ${owner.name}`;
    const next = isTwice ? 'remove one of the two' : wayOut(team, owner, 'ss -ltnp');
    return [{ severity: 'refusal', code: 'plan/forward-port-taken', message, next }];
  });
}

function findUdpOwner({ team, surroundings, running, remembered }: Asker, port: number): Owner | undefined {
  const other = smallest(surroundings.listUdpTeams(port).filter((claims) => claims.team !== team.team));
  if (other !== undefined) return other;
  const own = running === undefined ? 0 : running.listenPort || remembered.listenPort;
  return surroundings.usedUdpPorts.has(port) && port !== own ? STRANGER : undefined;
}

function findProxyPortOwner(asker: Asker, port: number): Owner | undefined {
  const { team, surroundings } = asker;
  if (team.forwardPorts.some((forward) => forward.port === port)) return { name: 'a forward of it', team: undefined };
  const others = surroundings.listListeners(port).map(({ claims }) => claims);
  const other = smallest(others.filter((claims) => claims.team !== team.team));
  if (other !== undefined) return other;
  return surroundings.usedTcpPorts.has(port) && !isOwnTcpPort(asker, port) ? STRANGER : undefined;
}

function findForwardOwner(asker: Asker, forward: ForwardPort): Owner | undefined {
  const { team, surroundings } = asker;
  const others = surroundings.listListeners(forward.port).filter(({ claims }) => claims.team !== team.team);
  const other = smallest(others.filter((one) => hasSameListener(one, forward)).map(({ claims }) => claims));
  if (other !== undefined) return other;
  // The listener of another team, on another address, explains why the machine says that the port is used.
  const isExplained = others.length > 0 || isOwnTcpPort(asker, forward.port);
  return surroundings.usedTcpPorts.has(forward.port) && !isExplained ? STRANGER : undefined;
}

function isOwnTcpPort({ running, remembered }: Asker, port: number): boolean {
  if (running === undefined) return false;
  if (running.forwardPorts.some((forward) => forward.port === port)) return true;
  return running.proxyPort !== undefined && (running.proxyPort || remembered.proxyPort) === port;
}

function smallest(teams: readonly TeamClaims[]): Owner | undefined {
  const name = teams.map(({ team }) => team).sort()[0];
  return name === undefined ? undefined : { name: `team ${quote(name)}`, team: name };
}

function hasSameListener(a: ForwardPort, b: ForwardPort): boolean {
  if (a.port !== b.port) return false;
  const [first, second] = [canonical(a.address), canonical(b.address)];
  return first === second || isWildcard(first) || isWildcard(second);
}

function canonical(address: string): string {
  return address === 'localhost' ? '127.0.0.1' : (parseAddress(address)?.text ?? address);
}

function isWildcard(address: string): boolean {
  return address === '' || address === '0.0.0.0' || address === '::';
}

function wayOut(team: TeamClaims, owner: Owner, command: string): string {
  if (owner.team === undefined)
    return `end the program (${command} shows it), or change the port of ${quote(team.team)}`;
  return `run this one alone: heddle switch ${team.team}; or stop the other first: heddle down ${owner.team}`;
}

function describeMissing(team: TeamClaims): Finding {
  return {
    severity: 'refusal',
    code: 'plan/port-missing',
    message: `Team ${quote(team.team)} is a lighthouse without a fixed UDP port, so nobody would find it`,
    next: 'set listen.port in its configuration, for example 4242',
  };
}

function describeBadPort(team: TeamClaims, what: string, port: number): Finding {
  return {
    severity: 'refusal',
    code: 'plan/bad-port',
    message: `${what} port "${port}" of team ${quote(team.team)} is not a whole number from 0 to ${PORT_MAX}`,
    next: `correct it in the configuration of ${quote(team.team)}`,
  };
}
