import { type LogRecord, logRecordShape } from './reply.ts';
import { listOf, number, objectOf, oneOf, optional, type Shape, taggedBy, text } from './shape.ts';
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

export const eventShape: Shape<ControlEvent> = taggedBy<ControlEvent>('event', {
  state: objectOf<StateEvent>({
    event: oneOf(['state']),
    state: oneOf(STATE_NAMES),
    auth_url: optional(text),
    addresses: optional(listOf(text)),
    peer_count: optional(number),
    derp_home: optional(number),
    attempt: optional(number),
    message: optional(text),
    code: optional(text),
  }),
  log: objectOf<LogEvent>({ event: oneOf(['log']), line: logRecordShape }),
});
