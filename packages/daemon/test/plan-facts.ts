import type { RememberedChoice, TeamClaims } from '../src/plan/claims.ts';
import type { Finding } from '../src/plan/finding.ts';
import type { HostFacts } from '../src/plan/host-facts.ts';
import { type Plan, planStart } from '../src/plan/plan.ts';

export const EMPTY_HOST: HostFacts = {
  links: [],
  addresses: [],
  routes: [],
  usedUdpPorts: [],
  usedTcpPorts: [],
  reservedSubnets: [],
};

/** A team of Nebula that wants a device and nothing else, unless said otherwise. */
export function nebula(team: string, claims: Partial<TeamClaims> = {}): TeamClaims {
  return {
    team,
    kind: 'nebula',
    networks: [],
    unsafeRoutes: [],
    device: undefined,
    wantsDevice: true,
    listenPort: undefined,
    isListenPortFixed: false,
    proxyPort: undefined,
    forwardPorts: [],
    ...claims,
  };
}

export function tailnet(team: string, claims: Partial<TeamClaims> = {}): TeamClaims {
  return nebula(team, { kind: 'tailnet', networks: ['100.64.0.0/10'], wantsDevice: false, ...claims });
}

export interface Given {
  readonly team: TeamClaims;
  readonly running?: readonly TeamClaims[];
  readonly host?: Partial<HostFacts>;
  readonly remembered?: RememberedChoice;
}

export function plan({ team, running = [], host = {}, remembered = {} }: Given): Plan {
  return planStart(team, running, { ...EMPTY_HOST, ...host }, remembered);
}

/** `refusal plan/overlapping-team`, one a finding. */
export function summary(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, code }) => `${severity} ${code}`);
}

export function summarize(given: Given): string[] {
  return summary(plan(given).findings);
}
