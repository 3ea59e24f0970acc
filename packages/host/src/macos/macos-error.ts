/**
 * Something that macOS would not do. `code` is stable:
 *
 * - `utun/busy`: another program has the device of this name;
 * - `utun/no-privilege`: not root;
 * - `utun/unsupported`: not macOS, no FFI, or a kernel without utun;
 * - `utun/failed`: the kernel refused a call for another reason;
 * - `macos/no-privilege`: a command needs root;
 * - `macos/command-failed`: a command was refused, could not be started, took too long or wrote too much;
 * - `macos/unknown-output`: a command wrote what is not its format;
 * - `macos/address-taken`: the machine has the address already.
 */
export class MacosError extends Error {
  override readonly name = 'MacosError';
  readonly code:
    | `utun/${'busy' | 'no-privilege' | 'unsupported' | 'failed'}`
    | `macos/${'no-privilege' | 'command-failed' | 'unknown-output' | 'address-taken'}`;

  constructor(code: MacosError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
