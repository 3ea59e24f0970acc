import { TailnetError } from '@heddle/tailnet/tailnet-error';
import type { TailnetNode } from '@heddle/tailnet/types';

/**
 * A place for a node: the proxies hold the slot, and a `reconnect` puts a new node into it without them noticing.
 * While it is empty every call fails with `tailnet/not-running`.
 */
export class NodeSlot<N extends TailnetNode> implements TailnetNode {
  #node: N | undefined;

  get node(): N | undefined {
    return this.#node;
  }

  set(node: N | undefined): void {
    this.#node = node;
  }

  readonly status: TailnetNode['status'] = () => this.#current().status();
  readonly resolve: TailnetNode['resolve'] = (host) => this.#node?.resolve(host) ?? [];
  readonly listen: TailnetNode['listen'] = (port, onConnection) => this.#current().listen(port, onConnection);
  readonly createUdpSocket: TailnetNode['createUdpSocket'] = (port) => this.#current().createUdpSocket(port);

  readonly dial: TailnetNode['dial'] = async (host, port, options) => this.#current().dial(host, port, options);
  readonly ping: TailnetNode['ping'] = async (host, options) => this.#current().ping(host, options);

  async close(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    await node?.close();
  }

  #current(): N {
    if (this.#node !== undefined) return this.#node;
    throw new TailnetError('tailnet/not-running', 'The node is not running', { isRetryable: true });
  }
}
