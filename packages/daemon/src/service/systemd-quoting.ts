/**
 * Texts in unit files. systemd reads each kind of directive in its own way (systemd.service(5) "COMMAND LINES",
 * systemd.syntax(7) "QUOTING"), so each has a function here:
 *
 * | where                     | blank       | `%`  | `$`  | `"` and `\`                    |
 * | argument of a command     | in quotes   | `%%` | `$$` | `\"` `\\`                      |
 * | program of a command      | in quotes   | `%%` | `$`  | `\"` `\\`                      |
 * | list of paths             | in quotes   | `%%` | `$`  | cannot be written              |
 * | path of a condition       | as it is    | `%%` | `$`  | as they are                    |
 *
 * None of them may hold a line break; `checkServicePath` sees to that.
 */

/** Quotes the program of `ExecStart=`: systemd expands specifiers in it, but no variables. */
export function quoteProgram(path: string): string {
  return quote(escapeSpecifiers(path));
}

/** Quotes one argument of `ExecStart=`. */
export function quoteArgument(text: string): string {
  return quote(escapeSpecifiers(text).replaceAll('$', '$$$$'));
}

/** Quotes an entry of `ReadWritePaths=` and its like, with its prefix, so that a blank does not end it. */
export function quoteListedPath(path: string): string {
  return isPlain(path) ? path : `"${escapeSpecifiers(path)}"`;
}

/** Escapes the path of `ConditionPathExists=`, which takes the whole rest of the line. */
export function escapeSpecifiers(path: string): string {
  return path.replaceAll('%', '%%');
}

function quote(text: string): string {
  return isPlain(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

function isPlain(text: string): boolean {
  return /^[A-Za-z0-9_/.:=@+,-]+$/.test(text);
}
