import type { CommandResult } from '@heddle/host/macos/command-runner';
import type { Command } from '@heddle/host/macos/interface-commands';
import { MacosError } from '@heddle/host/macos/macos-error';
import type { MacosSystem } from '@heddle/host/macos/macos-interfaces';
import type { Utun, UtunOptions } from '@heddle/host/macos/utun';
import { dottedNetmask } from '../src/allocation/cidr-text.ts';

interface FakeMacLink {
  mtu: number;
  isUp: boolean;
  /** With the bits of the network. */
  readonly cidrs: string[];
  /** Prefixes that lead to it. */
  readonly routes: string[];
}

/** What a command is to end with, instead of doing its work. */
export interface FakeFailure {
  /** A part of the command. */
  readonly part: string;
  readonly result: CommandResult;
}

/** The commands of a Mac, over links in memory. */
export class FakeMac implements MacosSystem {
  readonly links = new Map<string, FakeMacLink>();
  /** Every command that changes something, and every device that is opened or closed, in order. */
  readonly changes: string[] = [];
  /** The next commands with a part fail, each once. */
  readonly failures: FakeFailure[] = [];
  /** The next device fails to open with this. */
  openFailure: MacosError | undefined;
  /** So many more listings show devices that are closed. */
  lingerCount = 0;
  /** Added to every listing of links. */
  noise = '';
  /** Called before each command with its text. */
  beforeCommand: (text: string) => void | Promise<void> = () => {};
  readonly #open = new Set<string>();
  readonly #leaving = new Set<string>();

  constructor() {
    this.addLink('lo0', ['127.0.0.1/8', '::1/128'], 16_384);
    this.addLink('en0', ['192.168.7.5/24']);
  }

  addLink(name: string, cidrs: readonly string[] = [], mtu = 1500): void {
    this.links.set(name, { mtu, isUp: true, cidrs: [...cidrs], routes: [] });
  }

  /** The addresses of `lo0` but for its own. */
  aliases(): readonly string[] {
    return this.#link('lo0').cidrs.filter((cidr) => !['127.0.0.1/8', '::1/128'].includes(cidr));
  }

  /** Somebody else puts an address on `lo0`. */
  addForeignAlias(cidr: string): void {
    this.#link('lo0').cidrs.push(cidr);
  }

  /** As when the process is killed: its devices go, everything else stays. */
  die(): void {
    for (const name of this.#open) this.links.delete(name);
    this.#open.clear();
  }

  /** As a restart of the machine. */
  reboot(): void {
    this.die();
    this.addLink('lo0', ['127.0.0.1/8', '::1/128'], 16_384);
  }

  readonly run = async ([program, ...args]: Command): Promise<CommandResult> => {
    const text = [program, ...args].join(' ');
    await this.beforeCommand(text);
    const at = this.failures.findIndex(({ part }) => text.includes(part));
    const [failure] = at < 0 ? [] : this.failures.splice(at, 1);
    if (failure !== undefined) return failure.result;
    if (text === '/sbin/ifconfig -a') return done(this.#listLinks());
    if (program === '/usr/sbin/netstat') return done(this.#listRoutes(args.includes('inet6')));
    this.changes.push(text);
    return program === '/sbin/route' ? this.#addRoute(args) : this.#configure(args);
  };

  readonly openUtun = ({ name = 'utun0' }: UtunOptions): Utun => {
    const failure = this.openFailure;
    this.openFailure = undefined;
    if (failure !== undefined) throw failure;
    if (!/^utun[0-9]+$/.test(name)) throw new RangeError(`No utun device is called "${name}"`);
    if (this.links.has(name)) throw new MacosError('utun/busy', 'Another program has the device: connect EBUSY');
    this.changes.push(`open ${name}`);
    this.links.set(name, { mtu: 1500, isUp: false, cidrs: [], routes: [] });
    this.#open.add(name);
    return { name, fd: 11, close: () => this.#close(name) };
  };

  #close(name: string): void {
    if (!this.#open.delete(name)) return;
    this.changes.push(`close ${name}`);
    this.#leaving.add(name);
    this.#letGo();
  }

  #letGo(): void {
    if (this.lingerCount-- > 0) return;
    this.lingerCount = 0;
    for (const name of this.#leaving) this.links.delete(name);
    this.#leaving.clear();
  }

  #listLinks(): string {
    this.#letGo();
    const lines = [...this.links].flatMap(([name, { isUp, mtu, cidrs }]) => [
      `${name}: flags=8051<${isUp ? 'UP,' : ''}POINTOPOINT,RUNNING> mtu ${mtu}`,
      ...cidrs.map(formatAddressLine),
    ]);
    return `${lines.join('\n')}\n${this.noise}`;
  }

  #listRoutes(isIpv6: boolean): string {
    const routes = [...this.links].flatMap(([name, link]) =>
      link.routes.map((prefix) => `${prefix} ${name} USc ${name}`),
    );
    const own = routes.filter((line) => line.split('/', 1)[0]?.includes(':') === isIpv6);
    return [`Routing tables\n\nInternet${isIpv6 ? '6' : ''}:`, 'Destination Gateway Flags Netif Expire', ...own].join(
      '\n',
    );
  }

  /** `-n add [-inet6] -net PREFIX -interface LINK` */
  #addRoute(args: readonly string[]): CommandResult {
    const [prefix = '', , name = ''] = args.slice(args.indexOf('-net') + 1);
    this.#link(name).routes.push(prefix);
    return done('');
  }

  /** `LINK inet|inet6 …` */
  #configure([name = '', , ...words]: readonly string[]): CommandResult {
    const link = this.#link(name);
    const after = (word: string): string | undefined => words[words.indexOf(word) + 1];
    if (words[0] === '-alias') {
      const at = link.cidrs.findIndex((cidr) => cidr.startsWith(`${words[1]}/`));
      if (at < 0)
        return { status: 1, stdout: '', stderr: "ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address\n" };
      link.cidrs.splice(at, 1);
      return done('');
    }
    const bits = words.includes('netmask') ? maskBits(after('netmask') ?? '') : Number(after('prefixlen'));
    link.cidrs.push(`${words[0]}/${bits}`);
    if (words.includes('mtu')) link.mtu = Number(after('mtu'));
    if (words.includes('up')) link.isUp = true;
    return done('');
  }

  #link(name: string): FakeMacLink {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`no link "${name}"`);
    return link;
  }
}

function done(stdout: string): CommandResult {
  return { status: 0, stdout, stderr: '' };
}

function formatAddressLine(cidr: string): string {
  const [address = '', bits = ''] = cidr.split('/');
  if (address.includes(':')) return `\tinet6 ${address} prefixlen ${bits}`;
  const mask = dottedNetmask(Number(bits)).split('.');
  return `\tinet ${address} netmask 0x${mask.map((part) => Number(part).toString(16).padStart(2, '0')).join('')}`;
}

function maskBits(mask: string): number {
  return mask.split('.').reduce((sum, part) => sum + Number(part).toString(2).replaceAll('0', '').length, 0);
}
