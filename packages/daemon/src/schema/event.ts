import { z } from 'zod';
import { type LogRecord, logRecordSchema } from './reply.ts';
import { STATE_NAMES, type StateName } from './status.ts';

/** A change of state; only the fields of the new state are present. */
export interface StateEvent {
  readonly event: 'state';
  readonly state: StateName;
  /** `needs_login`. */
  readonly auth_url?: string | undefined;
  /** `running`. */
  readonly addresses?: readonly string[] | undefined;
  readonly peer_count?: number | undefined;
  /** Region id of the home relay, 0 while none is chosen. */
  readonly derp_home?: number | undefined;
  /** `reconnecting`. */
  readonly attempt?: number | undefined;
  /** `error`. */
  readonly message?: string | undefined;
  readonly code?: string | undefined;
}

export interface LogEvent {
  readonly event: 'log';
  readonly line: LogRecord;
}

/** What a subscriber receives, one a line; the current state comes first. Blank lines between them mean nothing. */
export type ControlEvent = StateEvent | LogEvent;

export const eventSchema: z.ZodType<ControlEvent> = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('state'),
    state: z.enum(STATE_NAMES),
    auth_url: z.string().optional(),
    addresses: z.array(z.string()).optional(),
    peer_count: z.number().optional(),
    derp_home: z.number().optional(),
    attempt: z.number().optional(),
    message: z.string().optional(),
    code: z.string().optional(),
  }),
  z.object({ event: z.literal('log'), line: logRecordSchema }),
]);
