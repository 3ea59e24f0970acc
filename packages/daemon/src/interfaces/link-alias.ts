/**
 * The text by which people, and other heddle processes, see whose a link is (`ip link` shows it as `alias`):
 *
 *     heddle tun 10.0.0.1/24 3f2a9c01
 *     heddle subnet fd12:3456:789a::/64 3f2a9c01
 *
 * The last word names the state database it is recorded in. Anybody with the right to make links can write the same: what
 * decides whether a link is ours is the mark in its record.
 */

import type { InterfaceRecord } from '../store/interface-records.ts';
import { addressesOf } from './record-facts.ts';

export interface LinkAlias {
  readonly kind: 'tun' | 'subnet';
  readonly cidr: string;
  readonly instance: string;
}

const PATTERN = /^heddle (tun|subnet) ([0-9A-Fa-f.:]{2,45}\/[0-9]{1,3}) ([A-Za-z0-9]{1,8})$/;

/** @param instanceId Of the state database; its first eight letters and digits are used. */
export function formatLinkAlias(record: InterfaceRecord, instanceId: string): string {
  return `heddle ${record.kind} ${record.kind === 'subnet' ? record.cidr : addressesOf(record)[0]} ${shortInstance(instanceId)}`;
}

/** Undefined for the alias of somebody else. */
export function parseLinkAlias(text: string | undefined): LinkAlias | undefined {
  const [, kind, cidr, instance] = PATTERN.exec(text ?? '') ?? [];
  if ((kind !== 'tun' && kind !== 'subnet') || cidr === undefined || instance === undefined) return undefined;
  return { kind, cidr, instance };
}

/** The part of an instance id that stands in an alias. */
export function shortInstance(instanceId: string): string {
  return instanceId.replaceAll('-', '').slice(0, 8);
}
