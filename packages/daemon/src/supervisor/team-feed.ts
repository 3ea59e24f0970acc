import type { TeamEvent, TeamInfo } from '../schema/team-info.ts';

type Send = (event: TeamEvent) => void;

/**
 * What subscribers see: every team at first, then each change once, numbered without gaps over all subscribers. A change
 * that shows nothing new is not sent.
 */
export class TeamFeed {
  readonly #listeners = new Set<Send>();
  readonly #last = new Map<string, string>();
  #seq = 0;

  /** Sends the snapshot at once. Returns how to end it. */
  subscribe(teams: readonly TeamInfo[], send: Send): () => void {
    send({ event: 'snapshot', seq: this.#seq, teams });
    this.#listeners.add(send);
    return () => this.#listeners.delete(send);
  }

  noteTeam(team: TeamInfo): void {
    const text = JSON.stringify(team);
    if (this.#last.get(team.name) === text) return;
    this.#last.set(team.name, text);
    this.#send({ event: 'team', seq: ++this.#seq, team });
  }

  noteRemoved(name: string): void {
    this.#last.delete(name);
    this.#send({ event: 'removed', seq: ++this.#seq, name });
  }

  #send(event: TeamEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}
