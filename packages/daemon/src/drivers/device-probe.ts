import { Netlink } from '@heddle/host/netlink/netlink';

/** What the kernel says about a device. */
export interface DeviceState {
  readonly isUp: boolean;
  /** Without prefix length. */
  readonly addresses: readonly string[];
  /** Prefixes whose route in the main table leads to the device. */
  readonly routes: readonly string[];
}

/** Asks for one device; `undefined` when there is none of that name. */
export type DeviceProbe = (device: string) => DeviceState | undefined;

const MAIN_TABLE = 254;

/** Asks the kernel of Linux; on other systems there is no probe. */
export function createDeviceProbe(): DeviceProbe | undefined {
  if (process.platform !== 'linux') return undefined;
  return (device) => {
    const netlink = Netlink.open();
    try {
      const link = netlink.links().find(({ name }) => name === device);
      if (link === undefined) return undefined;
      const isOurs = ({ linkIndex }: { readonly linkIndex: number | undefined }): boolean => linkIndex === link.index;
      return {
        isUp: link.isUp,
        addresses: netlink
          .addresses()
          .filter(isOurs)
          .map(({ address }) => address),
        routes: netlink
          .routes()
          .filter((route) => isOurs(route) && route.table === MAIN_TABLE)
          .map(({ prefix }) => prefix),
      };
    } finally {
      netlink.close();
    }
  };
}
