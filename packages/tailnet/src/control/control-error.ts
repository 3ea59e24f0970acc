import { TailnetError } from '../tailnet-error.ts';

/** A {@link TailnetError} of this room, with what the reconnect loop needs to know. Codes: docs/spec/control.md#errors. */
export class ControlError extends TailnetError {
  /** How long the server asked us to stay away; `undefined` when it did not. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: `control/${string}`,
    message: string,
    options: { readonly isRetryable?: boolean; readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ) {
    super(code, message, options);
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The server or the user must change something: trying again by itself would only be noise. */
  get isAuthorization(): boolean {
    return AUTHORIZATION_CODES.has(this.code);
  }

  /** The server does not know our node or its key any more: register before the next stream. */
  get needsRegistration(): boolean {
    return this.code === 'control/unknown-node' || this.code === 'control/key-expired';
  }

  /** Nobody listens there: a server that restarts is back soon, so the waits stay short. */
  get isRefused(): boolean {
    return isSystemError(this.cause) && this.cause.code === 'ECONNREFUSED';
  }
}

const AUTHORIZATION_CODES: ReadonlySet<string> = new Set([
  'control/invalid-auth-key',
  'control/auth-key-required',
  'control/registration-refused',
  'control/version-refused',
]);

const CERTIFICATE_CODE = /CERT|SELF_SIGNED|UNABLE_TO_|SIGNATURE/;
const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name could not be resolved',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'the network is unreachable',
  ETIMEDOUT: 'connection timed out',
};

/** Turns anything that went wrong while talking to `host` into one clear error. Errors of this room pass unchanged. */
export function toControlError(error: unknown, host: string): ControlError {
  if (error instanceof ControlError) return error;
  const options = { cause: error };
  const code = isSystemError(error) ? error.code : '';
  const reason = NETWORK_REASONS[code];
  if (reason !== undefined) {
    return new ControlError('control/unreachable', `Cannot reach ${host}: ${reason}`, {
      ...options,
      isRetryable: true,
    });
  }
  if (CERTIFICATE_CODE.test(code)) {
    return new ControlError('control/certificate', `The certificate of ${host} is not trusted: ${code}`, options);
  }
  if (code === 'EPROTO' || code.startsWith('HPE_') || code.startsWith('ERR_SSL')) {
    const hint = 'it does not speak the protocol of this URL (http or https)';
    return new ControlError('control/not-a-coordination-server', `No coordination server at ${host}: ${hint}`, options);
  }
  const lost = `The connection to ${host} was lost${code === '' ? '' : ` (${code})`}`;
  return new ControlError('control/connection-lost', lost, { ...options, isRetryable: true });
}

function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string';
}
