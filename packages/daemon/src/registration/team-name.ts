import { TEAM_NAME_PATTERN } from '../schema/team-name.ts';
import { RegistrationError } from './registration-error.ts';

/** A team: its slug in the API and its folder below the config root. Made only by {@link parseTeamName}. */
export type TeamName = string & { readonly brand: 'team-name' };

// docs/spec: 1 to 64 letters, digits, `-`, `_`; no separator, dot or leading hyphen, so it is safe in paths and URLs.

export function isTeamName(text: string): text is TeamName {
  return TEAM_NAME_PATTERN.test(text);
}

/** @throws {RegistrationError} `registration/bad-org-slug`. */
export function parseTeamName(text: string): TeamName {
  if (isTeamName(text)) return text;
  const message = `The team name ${JSON.stringify(text.slice(0, 80))} is not 1 to 64 letters, digits, "-" and "_"`;
  throw new RegistrationError('registration/bad-org-slug', message);
}
