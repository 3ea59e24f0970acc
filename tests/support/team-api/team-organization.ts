import { NebulaAuthority } from './nebula-authority.ts';
import { renderConfig } from './render-config.ts';

/** A refusal as the API words it. */
export interface ApiError {
  readonly status: number;
  readonly title: string;
  readonly detail: string | Readonly<Record<string, readonly string[]>>;
}

export interface RegistrationToken {
  readonly expiresUnixMs: number;
  /** -1 for any number. */
  readonly usesMax: number;
  useCount: number;
}

/** A registered node. */
export interface TeamNode {
  readonly id: number;
  readonly name: string;
  readonly ip: string;
  readonly isLighthouse: boolean;
  readonly publicIp: string | undefined;
  readonly fqdn: string | undefined;
  readonly externalPort: number;
  readonly apiToken: string;
  certificate: string;
  key: string;
  expirationUnixMs: number;
  /** Added to the configuration as firewall rules for these ports. */
  openPorts: readonly number[];
  lastCheckinUnixMs: number | undefined;
}

export interface NodeWish {
  readonly name: string;
  readonly isLighthouse: boolean;
  readonly publicIp: string | undefined;
  readonly fqdn: string | undefined;
  readonly externalPort: number | undefined;
}

export interface OrganizationOptions {
  readonly slug: string;
  readonly nowMs: () => number;
  /** Three parts of an IPv4 network, `10.90.0`. */
  readonly network: string;
  /** How many addresses the network has to give. */
  readonly addressCount: number;
}

const YEAR_MS = 365 * 86_400_000;

/** One team of the test server: its authority, tokens, members and nodes. */
export class TeamOrganization {
  readonly slug: string;
  readonly tokens: Map<string, RegistrationToken> = new Map();
  /** Access tokens of members. */
  readonly members: Set<string> = new Set();
  readonly nodes: Map<number, TeamNode> = new Map();
  /** Makes the next registration fail half-way. */
  fault: 'node-creation' | 'certificate' | 'unexpected' | undefined;
  hasAuthority = true;
  readonly #options: OrganizationOptions;
  readonly #authority: NebulaAuthority;
  #nextId = 1;

  constructor(options: OrganizationOptions) {
    this.slug = options.slug;
    this.#options = options;
    const now = options.nowMs();
    const validity = { notBeforeUnixMs: now - 60_000, notAfterUnixMs: now + 10 * YEAR_MS };
    this.#authority = new NebulaAuthority(`${options.slug} CA`, validity);
  }

  /** Why a token is no good; counts a use when it is. */
  refuseToken(text: string): ApiError | undefined {
    const token = this.tokens.get(text);
    if (token === undefined) {
      const detail = `Registration token not found for organization "${this.slug}".`;
      return { status: 401, title: 'Invalid Registration Token', detail };
    }
    if (token.expiresUnixMs <= this.#options.nowMs()) {
      return { status: 401, title: 'Token Expired', detail: 'Registration token expired. Please request a new token.' };
    }
    if (token.usesMax !== -1 && token.useCount >= token.usesMax) {
      const detail = `Registration token has been used ${token.useCount} times (limit: ${token.usesMax}).`;
      return { status: 401, title: 'Token Usage Limit Exceeded', detail };
    }
    return undefined;
  }

  createNode(wish: NodeWish): TeamNode | ApiError {
    if (!this.hasAuthority) {
      return { status: 400, title: 'Certificate Authority Missing', detail: 'No certificate authority configured.' };
    }
    const nodes = [...this.nodes.values()];
    if (!wish.isLighthouse && !nodes.some(({ isLighthouse }) => isLighthouse)) {
      return { status: 400, title: 'No Lighthouse Nodes Available', detail: 'Please create a lighthouse node first.' };
    }
    const ip = this.#freeAddress();
    if (ip === undefined) return { status: 400, title: 'No Available IP Addresses', detail: 'The range is used up.' };
    const fault = this.#takeFault(wish.name);
    if (fault !== undefined) return fault;
    const id = this.#nextId++;
    const expirationUnixMs = this.#options.nowMs() + YEAR_MS;
    const node: TeamNode = {
      ...wish,
      externalPort: wish.externalPort ?? 4242,
      id,
      ip,
      apiToken: `node-token-${id}-${'abcdefghijklmnopqrstuvwxyz0123456789'}`,
      ...this.#issue(wish, ip, expirationUnixMs),
      expirationUnixMs,
      openPorts: [],
      lastCheckinUnixMs: undefined,
    };
    this.nodes.set(id, node);
    return node;
  }

  /** A new key and certificate, as the server does 14 days before the end of the old one. */
  renew(node: TeamNode): void {
    node.expirationUnixMs += YEAR_MS;
    Object.assign(node, this.#issue(node, node.ip, node.expirationUnixMs));
  }

  /** The body of `download_config`, and of a registration without its token. */
  packageOf(node: TeamNode): Record<string, unknown> {
    const lighthouses = [...this.nodes.values()].filter(({ id, isLighthouse }) => isLighthouse && id !== node.id);
    return {
      node_id: node.id,
      node_name: node.name,
      nebula_ip: node.ip,
      is_lighthouse: node.isLighthouse,
      certificate: node.certificate,
      key: node.key,
      ca_certificate: this.#authority.certificate,
      config_yaml: renderConfig(node, lighthouses, this.#authority.certificate),
      expiration: new Date(node.expirationUnixMs).toISOString(),
    };
  }

  #freeAddress(): string | undefined {
    const used = new Set([...this.nodes.values()].map(({ ip }) => ip));
    for (let i = 1; i <= this.#options.addressCount; i++) {
      const ip = `${this.#options.network}.${i}`;
      if (!used.has(ip)) return ip;
    }
    return undefined;
  }

  #takeFault(name: string): ApiError | undefined {
    const { fault } = this;
    this.fault = undefined;
    if (fault === undefined) return undefined;
    const titles = {
      'node-creation': 'Node Creation Failed',
      certificate: 'Certificate Generation Failed',
      unexpected: 'Registration Failed',
    };
    return { status: 500, title: titles[fault], detail: `It failed for node "${name}".` };
  }

  #issue(
    wish: Pick<NodeWish, 'name' | 'isLighthouse'>,
    ip: string,
    notAfterUnixMs: number,
  ): Pick<TeamNode, 'certificate' | 'key'> {
    return this.#authority.issue({
      name: wish.name,
      ip,
      prefixLength: 24,
      groups: wish.isLighthouse ? ['lighthouse'] : [],
      notBeforeUnixMs: this.#options.nowMs() - 60_000,
      notAfterUnixMs,
    });
  }
}
