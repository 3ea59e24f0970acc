import { isRecord, type JsonRecord, textOf, textsOf } from './json-value.ts';

/** Messages kept at a time; more are left out. */
const MESSAGE_COUNT_MAX = 256;

/** What a server wants its user to know: the old `Health` list and the newer `DisplayMessages`, patched by id. */
export class HealthTable {
  readonly #messages = new Map<string, string>();
  #health: readonly string[] = [];

  /** One line for each warning. */
  get lines(): readonly string[] {
    return [...this.#health, ...this.#messages.values()];
  }

  /** Applies a MapResponse; true when it spoke of health. */
  apply(json: JsonRecord): boolean {
    const messages = json['DisplayMessages'];
    if (Array.isArray(json['Health'])) this.#health = textsOf(json['Health']).slice(0, MESSAGE_COUNT_MAX);
    if (isRecord(messages)) this.#applyMessages(messages);
    return Array.isArray(json['Health']) || isRecord(messages);
  }

  #applyMessages(messages: JsonRecord): void {
    if (messages['*'] === null) this.#messages.clear();
    for (const [id, message] of Object.entries(messages)) {
      if (!isRecord(message)) this.#messages.delete(id);
      else if (this.#messages.size < MESSAGE_COUNT_MAX || this.#messages.has(id)) {
        const line = [textOf(message['Title']), textOf(message['Text'])].filter((part) => part !== '').join(': ');
        this.#messages.set(id, line);
      }
    }
  }
}
