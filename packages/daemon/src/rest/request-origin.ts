/**
 * Which programs may ask at all: those of this machine that mean this server. A browser is told by any web page to send
 * requests here. It names the page in `Origin` and `Sec-Fetch-Site`; and if the page's own name leads to 127.0.0.1 (DNS
 * rebinding), that name is in `Host`.
 */

import type { IncomingMessage } from 'node:http';
import { TailnetError } from '@heddle/tailnet/tailnet-error';
import { countFields } from './count-fields.ts';

const HOSTS = ['localhost', '127.0.0.1', '[::1]'];

/** Names under which a server on `port` is asked. */
export class OwnNames {
  readonly #hosts: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;

  constructor(port: number) {
    this.#hosts = new Set(HOSTS.flatMap((host) => [host, `${host}:${port}`]));
    this.#origins = new Set(HOSTS.map((host) => `http://${host}:${port}`));
  }

  /** @throws {TailnetError} `rest/bad-request`, `rest/foreign-host`, `rest/foreign-origin`. */
  check(request: IncomingMessage): void {
    const { host, origin, 'sec-fetch-site': site } = request.headers;
    // RFC 9112 §3.2: exactly one.
    if (host === undefined || countFields(request.rawHeaders, 'host') > 1) {
      throw new TailnetError('rest/bad-request', 'A request has exactly one field Host');
    }
    this.#checkHost(host);
    if (origin !== undefined && !this.#origins.has(origin)) {
      throw new TailnetError('rest/foreign-origin', 'The field Origin is of another site');
    }
    if (site !== undefined && site !== 'same-origin' && site !== 'none') {
      throw new TailnetError('rest/foreign-origin', 'The field Sec-Fetch-Site says that another site asks');
    }
  }

  /**
   * Takes the path out of the request target, which may be a whole URL (RFC 9112 §3.2.2).
   * @throws {TailnetError} `rest/bad-request`, `rest/foreign-host` if the URL is of another host.
   */
  readTarget(target: string): { readonly path: string; readonly query: string } {
    let local = target;
    if (!target.startsWith('/')) {
      const [, authority, rest = ''] = /^http:\/\/([^/?#]*)(.*)$/i.exec(target) ?? [];
      if (authority === undefined) throw new TailnetError('rest/bad-request', 'The target is neither a path nor a URL');
      this.#checkHost(authority);
      local = rest.startsWith('/') ? rest : `/${rest}`;
    }
    const mark = local.indexOf('?');
    return mark < 0 ? { path: local, query: '' } : { path: local.slice(0, mark), query: local.slice(mark + 1) };
  }

  #checkHost(host: string): void {
    if (this.#hosts.has(host) || this.#hosts.has(host.toLowerCase())) return;
    throw new TailnetError('rest/foreign-host', 'The request is for a host other than localhost, 127.0.0.1 and [::1]');
  }
}
