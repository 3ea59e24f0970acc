const LABEL_LENGTH_MAX = 63;
/** What systems append to the name of a machine that has no domain. */
const LOCAL_SUFFIXES = ['.local', '.localdomain', '.lan'];

/**
 * Makes a DNS label of a machine's name, as Tailscale's client does: lower case, spaces, dots, `@` and `_` become `-`,
 * other characters go. `''` when nothing is left.
 */
export function sanitizeHostname(hostname: string): string {
  const suffix = LOCAL_SUFFIXES.find((candidate) => hostname.endsWith(candidate)) ?? '';
  return sanitizeLabel(hostname.slice(0, hostname.length - suffix.length));
}

/** The name to send to a server. Never shorter than two characters: some servers refuse such a node later. */
export function chooseHostname(hostname: string): string {
  const label = sanitizeHostname(hostname);
  if (label.length >= 2) return label;
  return label === '' ? 'node' : `node-${label}`;
}

function sanitizeLabel(text: string): string {
  const kept = text
    .toLowerCase()
    .replace(/[ .@_]/g, '-')
    .replace(/[^a-z0-9-]/g, '')
    .replace(/^-+/, '');
  return kept.slice(0, LABEL_LENGTH_MAX).replace(/-+$/, '');
}
