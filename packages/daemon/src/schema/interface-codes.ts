/**
 * Every error of the REST API: its HTTP status, the title that goes with the code for good, and what to do. The detail of
 * an answer is the message of the error itself.
 */

export interface CodeMeaning {
  readonly status: number;
  readonly title: string;
  readonly next: string;
}

export type InterfaceCode =
  | `rest/${'bad-json' | 'bad-field' | 'bad-request' | 'forbidden' | 'no-identity' | 'bad-token' | 'foreign-host' | 'foreign-origin' | 'no-such-path' | 'method-not-allowed' | 'too-large' | 'unsupported-type' | 'busy' | 'internal'}`
  | `tun/${'bad-name' | 'bad-address' | 'bad-mtu' | 'unknown-owner' | 'not-supported' | 'unknown' | 'name-taken' | 'in-use'}`
  | `subnet/${'bad-cidr' | 'host-bits' | 'forbidden-range' | 'bad-mtu' | 'unknown' | 'exists'}`
  | `allocation/${'overlap' | 'exhausted' | 'too-many'}`
  | `interface/${'no-privilege' | 'kernel-refused' | 'not-stored' | 'no-ipv6' | 'no-tun-driver' | 'unsupported'}`;

export const INTERFACE_CODES: Readonly<Record<InterfaceCode, CodeMeaning>> = {
  'rest/bad-json': { status: 400, title: 'The body is not JSON', next: 'send one JSON object' },
  'rest/bad-field': { status: 400, title: 'A field of the request does not fit', next: 'see /openapi.json' },
  'rest/bad-request': { status: 400, title: 'The request cannot be read', next: 'see /openapi.json' },
  'rest/forbidden': {
    status: 403,
    title: 'This user may not change interfaces',
    next: 'be root, an operator of daemon.yml, or send the token',
  },
  'rest/no-identity': {
    status: 403,
    title: 'The kernel does not tell who asks',
    next: 'keep the connection open until the answer is there, or send the token',
  },
  'rest/bad-token': { status: 403, title: 'The token is not the one', next: 'read it from the token file again' },
  'rest/foreign-host': { status: 403, title: 'The request is for another host', next: 'ask localhost itself' },
  'rest/foreign-origin': { status: 403, title: 'Web pages may not ask', next: 'ask from a program, not from a page' },
  'rest/no-such-path': { status: 404, title: 'There is nothing at this path', next: 'see /openapi.json' },
  'rest/method-not-allowed': {
    status: 405,
    title: 'This cannot be done at this path',
    next: 'see the field Allow of the answer',
  },
  'rest/too-large': { status: 413, title: 'The body is too large', next: 'send at most 16384 bytes' },
  'rest/unsupported-type': {
    status: 415,
    title: 'The body is not said to be JSON',
    next: 'send Content-Type: application/json',
  },
  'rest/busy': { status: 503, title: 'Too much is asked at a time', next: 'ask again in a moment' },
  'rest/internal': { status: 500, title: 'A fault of heddle', next: 'please report it with the log' },
  'tun/bad-name': { status: 400, title: 'No device can have this name', next: 'choose another name' },
  'tun/bad-address': { status: 400, title: 'The device cannot have this address', next: 'choose another address' },
  'tun/bad-mtu': { status: 422, title: 'IPv6 needs an MTU of 1280 or more', next: 'choose a larger mtu' },
  'tun/unknown-owner': {
    status: 422,
    title: 'There is no such user',
    next: 'give a user of this machine, or a number',
  },
  'tun/not-supported': { status: 422, title: 'This system has no such device', next: 'leave the field out' },
  'tun/unknown': { status: 404, title: 'There is no such device of heddle', next: 'see GET /tun' },
  'tun/name-taken': { status: 409, title: 'The name is taken', next: 'choose another name, or none' },
  'tun/in-use': { status: 409, title: 'A program uses the device', next: 'end that program first' },
  'subnet/bad-cidr': { status: 400, title: 'This is no network', next: 'write it as 10.1.0.0/24' },
  'subnet/host-bits': { status: 400, title: 'The network has host bits', next: 'send the network of the detail' },
  'subnet/forbidden-range': {
    status: 422,
    title: 'This range is not for local subnets',
    next: 'choose one in 10.0.0.0/8',
  },
  'subnet/bad-mtu': { status: 422, title: 'IPv6 needs an MTU of 1280 or more', next: 'choose a larger mtu' },
  'subnet/unknown': { status: 404, title: 'There is no such subnet of heddle', next: 'see GET /subnet' },
  'subnet/exists': { status: 409, title: 'The subnet is there already', next: 'use it, or delete it first' },
  'allocation/overlap': { status: 409, title: 'The network is in use', next: 'choose another network, or none' },
  'allocation/exhausted': {
    status: 507,
    title: 'No network of this size is free',
    next: 'delete one, ask for a smaller one, or add a pool',
  },
  'allocation/too-many': { status: 507, title: 'There are too many interfaces', next: 'delete some first' },
  'interface/no-privilege': {
    status: 500,
    title: 'The daemon may not change interfaces',
    next: 'run it as root, or give it CAP_NET_ADMIN and /dev/net/tun',
  },
  'interface/kernel-refused': { status: 500, title: 'The kernel refused', next: 'see the log of the daemon' },
  'interface/not-stored': {
    status: 507,
    title: 'The daemon cannot keep its state',
    next: 'see the log of the daemon; free space on the disk of its state database, or let it write there',
  },
  'interface/no-ipv6': {
    status: 422,
    title: 'IPv6 is switched off',
    next: 'ask for IPv4 alone, or switch it on: net.ipv6.conf.default.disable_ipv6=0',
  },
  'interface/no-tun-driver': {
    status: 500,
    title: 'There is no /dev/net/tun',
    next: 'load the driver: modprobe tun; in a container pass the device',
  },
  'interface/unsupported': { status: 500, title: 'This system cannot do it', next: 'use Linux or macOS' },
};
