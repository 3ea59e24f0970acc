import { integerOf, isRecord, recordOf, textOf } from '@heddle/proto/control/json-value';
import { formatPublicKey, isZeroKey, parsePublicKey } from '@heddle/proto/keys/public-key';
import type { AuthKeys } from './auth-keys.ts';
import { type HostinfoUpdate, readHostinfo } from './hostinfo.ts';
import { isExpired, type NodeRecord, type NodeRegistry } from './node-registry.ts';
import type { PendingLogins } from './pending-logins.ts';
import { LOGIN, USER } from './user.ts';

/** The body of `POST /machine/register`, checked. */
export interface RegisterRequest {
  readonly capabilityVersion: number;
  readonly nodeKey: string;
  readonly authKey: string;
  /** The AuthURL whose approval the node waits for; `''` for none. */
  readonly followup: string;
  /** The node wants its key to end: a time in the past. */
  readonly isLogout: boolean;
  readonly hostinfo: HostinfoUpdate;
}

/** Its answer, always with status 200. Field names are the protocol's. */
export interface RegisterResponse {
  readonly User: object;
  readonly Login: object;
  readonly NodeKeyExpired: boolean;
  readonly MachineAuthorized: boolean;
  readonly AuthURL: string;
  readonly Error: string;
}

export interface RegistrationOptions {
  readonly nodes: NodeRegistry;
  readonly authKeys: AuthKeys;
  readonly logins: PendingLogins;
  /** Nobody may join by the web page. */
  readonly requiresAuthKey: boolean;
  /** The address of the page where a login is approved. */
  readonly formatAuthUrl: (loginId: string) => string;
}

const REFUSED: RegisterResponse = {
  User: { ID: 0, DisplayName: '' },
  Login: { ID: 0, Provider: '', LoginName: '', DisplayName: '' },
  NodeKeyExpired: false,
  MachineAuthorized: false,
  AuthURL: '',
  Error: '',
};
const ACCEPTED: RegisterResponse = { ...REFUSED, User: USER, Login: LOGIN, MachineAuthorized: true };

/** Checks a request body; `undefined` for anything that is no RegisterRequest. */
export function readRegisterRequest(json: unknown): RegisterRequest | undefined {
  if (!isRecord(json)) return undefined;
  const nodeKey = parsePublicKey('node', textOf(json['NodeKey']));
  const hostinfo = readHostinfo(json['Hostinfo']);
  const capabilityVersion = integerOf(json['Version']);
  if (nodeKey === undefined || isZeroKey(nodeKey) || hostinfo === undefined || capabilityVersion <= 0) return undefined;
  const expiryUnixMs = Date.parse(textOf(json['Expiry']));
  return {
    capabilityVersion,
    nodeKey: formatPublicKey('node', nodeKey),
    authKey: textOf(recordOf(json['Auth'])['AuthKey']),
    followup: textOf(json['Followup']),
    // Year 1 is Go's zero time and means "not set".
    isLogout: expiryUnixMs > Date.parse('0001-01-02T00:00:00Z') && expiryUnixMs <= Date.now(),
    hostinfo,
  };
}

/**
 * Admits machines to the tailnet (docs/spec/lab.md#register). Decides in the order of Headscale: logout, known node,
 * follow-up, auth key, interactive login.
 */
export class Registration {
  readonly #options: RegistrationOptions;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** Waits for the user when the request is a follow-up; `undefined` when the signal fired meanwhile. */
  async register(
    machineKey: string,
    request: RegisterRequest,
    signal: AbortSignal,
  ): Promise<RegisterResponse | undefined> {
    const known = this.#options.nodes.byNodeKey(request.nodeKey);
    if (known !== undefined && known.machineKey !== machineKey) {
      return { ...REFUSED, Error: 'node exists with a different machine key' };
    }
    if (request.isLogout) return this.#logOut(known);
    if (known !== undefined) return isExpired(known) ? { ...ACCEPTED, NodeKeyExpired: true } : ACCEPTED;
    if (request.followup !== '') return this.#followUp(machineKey, request, signal);
    if (request.authKey !== '') return this.#useAuthKey(machineKey, request);
    return this.#startLogin(machineKey, request);
  }

  #logOut(known: NodeRecord | undefined): RegisterResponse {
    if (known === undefined) return { ...REFUSED, NodeKeyExpired: true };
    if (known.isEphemeral) {
      this.#options.nodes.remove(known.id);
      return { ...REFUSED, NodeKeyExpired: true };
    }
    this.#options.nodes.expire(known.id);
    return { ...ACCEPTED, NodeKeyExpired: true };
  }

  #useAuthKey(machineKey: string, request: RegisterRequest): RegisterResponse {
    const grant = this.#options.authKeys.use(request.authKey);
    if (typeof grant === 'string') return { ...REFUSED, Error: grant };
    return this.#admit(machineKey, request, grant.isEphemeral);
  }

  #startLogin(machineKey: string, request: RegisterRequest): RegisterResponse {
    if (this.#options.requiresAuthKey) return { ...REFUSED, Error: 'this tailnet requires an auth key' };
    const login = this.#options.logins.start(machineKey, request.nodeKey, request.hostinfo);
    return { ...REFUSED, AuthURL: this.#options.formatAuthUrl(login.id) };
  }

  async #followUp(
    machineKey: string,
    request: RegisterRequest,
    signal: AbortSignal,
  ): Promise<RegisterResponse | undefined> {
    const { logins } = this.#options;
    const id = request.followup.split('/').at(-1) ?? '';
    const pending = logins.find(id);
    const isOwn = pending?.machineKey === machineKey && pending.nodeKey === request.nodeKey;
    if (!isOwn) return this.#startLogin(machineKey, request);
    const approved = await logins.waitForApproval(id, signal);
    if (signal.aborted) return undefined;
    if (approved === undefined) return this.#startLogin(machineKey, request);
    logins.finish(id);
    return this.#admit(machineKey, request, false);
  }

  #admit(machineKey: string, request: RegisterRequest, isEphemeral: boolean): RegisterResponse {
    const { nodeKey, hostinfo, capabilityVersion } = request;
    const node = this.#options.nodes.admit({ machineKey, nodeKey, isEphemeral, hostinfo, capabilityVersion });
    return node === undefined ? { ...REFUSED, Error: 'the tailnet is full' } : ACCEPTED;
  }
}
