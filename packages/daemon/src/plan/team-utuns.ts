import { parseAddress } from '@heddle/proto/ip/address';
import type { TeamClaims } from './claims.ts';
import type { HostFacts } from './host-facts.ts';

/**
 * Leaves out the addresses and routes of `utun` devices that teams have. macOS chooses the name of a device, so the name
 * in the claims does not tell which: a `utun` device with precisely the address of a team that is up is taken for the
 * team's. Facts of other systems, which have no such devices, stay as they are.
 *
 * @param running The teams that are up.
 */
export function withoutTeamUtuns(host: HostFacts, running: readonly TeamClaims[]): HostFacts {
  const utuns = new Set(host.links.filter(({ kind }) => kind === 'utun').map(({ name }) => name));
  if (utuns.size === 0) return host;
  const own = new Set(
    running.filter(({ wantsDevice }) => wantsDevice).flatMap(({ networks }) => networks.map(ownAddress)),
  );
  const links = new Set(
    host.addresses.filter(({ link, cidr }) => utuns.has(link) && own.has(ownAddress(cidr))).map(({ link }) => link),
  );
  return {
    ...host,
    addresses: host.addresses.filter(({ link }) => !links.has(link)),
    routes: host.routes.filter(({ link }) => !links.has(link)),
  };
}

/** Text that is none stands for itself. */
function ownAddress(cidr: string): string {
  const text = cidr.split('/', 1)[0] ?? '';
  return parseAddress(text)?.text ?? text;
}
