import type { ForwardPort, RememberedChoice } from './claims.ts';

/**
 * What teams remember, or need unchanged, while they are down. A team that looks for something new leaves it alone, so
 * that the other one comes up later as before; it takes nothing from a team that remembers the same.
 */
export class Reservations {
  readonly #devices = new Map<string, string>();
  readonly #udpPorts = new Map<number, string>();
  readonly #tcpPorts = new Map<number, string>();

  /** The first team to keep something has it. */
  keep(team: string, { device, listenPort, proxyPort }: RememberedChoice): void {
    if (device !== undefined && !this.#devices.has(device)) this.#devices.set(device, team);
    if (listenPort !== undefined && !this.#udpPorts.has(listenPort)) this.#udpPorts.set(listenPort, team);
    if (proxyPort !== undefined && !this.#tcpPorts.has(proxyPort)) this.#tcpPorts.set(proxyPort, team);
  }

  /** Keeps what cannot move: somebody's programs know the ports of the forwards. */
  keepForwards(team: string, forwards: readonly ForwardPort[]): void {
    for (const { port } of forwards) if (!this.#tcpPorts.has(port)) this.#tcpPorts.set(port, team);
  }

  isDeviceKept(device: string, exceptTeam: string): boolean {
    return (this.#devices.get(device) ?? exceptTeam) !== exceptTeam;
  }

  isUdpPortKept(port: number, exceptTeam: string): boolean {
    return (this.#udpPorts.get(port) ?? exceptTeam) !== exceptTeam;
  }

  isTcpPortKept(port: number, exceptTeam: string): boolean {
    return (this.#tcpPorts.get(port) ?? exceptTeam) !== exceptTeam;
  }
}
