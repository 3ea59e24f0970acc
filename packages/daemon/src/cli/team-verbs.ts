/** The commands that speak with the supervisor, as rows of the table in `verbs.ts`. */

import type { OptionSpec, VerbSpec } from './verbs.ts';

const REASON: OptionSpec = { flags: '--reason <text>', description: 'why, for the log of the daemon' };
const TEAM = { name: '<team>', description: 'name of the team' };
const ANY_TEAM = { name: '[team]', description: 'name of the team; all of them without' };

type ChangeAction = 'start' | 'stop' | 'restart' | 'reload' | 'switch' | 'delete';

export const TEAM_VERBS: readonly VerbSpec[] = [
  {
    name: 'list',
    description: 'list the teams of this machine',
    options: [],
    run: async ({ context }) => (await import('./commands/teams.ts')).listTeams(context),
  },
  changeVerb('up', 'start', 'bring a team up'),
  changeVerb('down', 'stop', 'take a team down'),
  changeVerb('restart', 'restart', 'take a team down and up again, with its configuration of now'),
  changeVerb('reload', 'reload', 'take over the configuration of now, without an interruption where that can be'),
  changeVerb('switch', 'switch', 'bring a team up and take all others down'),
  changeVerb('delete', 'delete', 'take a team down and forget it; its configuration stays'),
  {
    name: 'provision',
    description: 'take over the teams below the config root',
    argument: ANY_TEAM,
    options: [REASON],
    run: async ({ argument, options, context }) =>
      (await import('./commands/teams.ts')).provisionTeams(argument, reasonOf(options), context),
  },
  {
    name: 'plan',
    description: 'say which teams could come up now, and what is in the way',
    argument: ANY_TEAM,
    options: [],
    run: async ({ argument, context }) => (await import('./commands/teams.ts')).planTeams(argument, context),
  },
];

function changeVerb(name: string, action: ChangeAction, description: string): VerbSpec {
  return {
    name,
    description,
    argument: TEAM,
    options: [REASON],
    run: async ({ argument, options, context }) =>
      (await import('./commands/teams.ts')).changeTeam(action, argument, reasonOf(options), context),
  };
}

function reasonOf(options: Readonly<Record<string, unknown>>): string | undefined {
  return options['reason'] as string | undefined;
}
