/**
 * A failed operation. `code` is stable (`room/reason`) and documented in docs/guide/errors.md; the message never
 * contains a secret.
 */
export class TailnetError extends Error {
  override readonly name = 'TailnetError';
  readonly code: string;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;

  constructor(
    code: string,
    message: string,
    options: { readonly isRetryable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.isRetryable = options.isRetryable ?? false;
  }
}
