import type { InterfaceRecord, JournalEntry } from '../src/store/interface-records.ts';
import { applyChange, createContent, type StoreChange, type StoreContent } from '../src/store/store-content.ts';

/** The part of the state database that interfaces need, in memory. */
export class FakeInterfaceStore {
  #content: StoreContent = createContent({ schemaVersion: 1, instanceId: 'a1b2c3d4-e5f6', createdUnixMs: 0 });
  /** The next commits fail with this, each once. */
  readonly failures: Error[] = [];
  /** Called before each commit. */
  beforeCommit: () => Promise<void> = async () => {};

  interfaces(): readonly InterfaceRecord[] {
    return [...this.#content.interfaces].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record);
  }

  interface(key: string): InterfaceRecord | undefined {
    return this.#content.interfaces.get(key);
  }

  journal(): readonly JournalEntry[] {
    return [...this.#content.journal.values()];
  }

  async commit(change: StoreChange): Promise<void> {
    await this.beforeCommit();
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    this.#content = applyChange(this.#content, change);
  }
}
