import type { FreeSubnets, SubnetInfo, SubnetRequest, TunInfo, TunRequest } from '../schema/interface-api.ts';

/** Who asks, as far as it is recorded. */
export interface Caller {
  /** Undefined for the holder of the token. */
  readonly uid: number | undefined;
}

/** What `GET /subnet/free` asks for. */
export interface FreeQuery {
  readonly family: 4 | 6;
  /** 24 of IPv4 and 64 of IPv6 unless it is given. */
  readonly prefixLength: number | undefined;
  readonly countMax: number;
}

/**
 * The TUN devices that heddle made. A promise that resolves is kept: what was made is in the kernel and on the disk.
 * Everything rejects with a TailnetError whose code is in `schema/interface-codes.ts`.
 */
export interface TunService {
  /** With live data of the kernel, by name. */
  list(): Promise<readonly TunInfo[]>;
  find(name: string): Promise<TunInfo>;
  create(request: TunRequest, caller: Caller): Promise<TunInfo>;
  delete(name: string): Promise<void>;
}

/** As {@link TunService}, for the local subnets. */
export interface SubnetService {
  /** By network. */
  list(): Promise<readonly SubnetInfo[]>;
  /** `cidr` is text of a client. */
  find(cidr: string): Promise<SubnetInfo>;
  create(request: SubnetRequest, caller: Caller): Promise<SubnetInfo>;
  delete(cidr: string): Promise<void>;
  listFree(query: FreeQuery): Promise<FreeSubnets>;
}
