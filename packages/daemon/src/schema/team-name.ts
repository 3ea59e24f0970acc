/**
 * What a team, and a context, may be called: 1 to 64 letters, digits, `-` and `_`, the first and the last a letter or digit.
 * Such a name is safe as a part of a path.
 */
export const TEAM_NAME_PATTERN: RegExp = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$/;
