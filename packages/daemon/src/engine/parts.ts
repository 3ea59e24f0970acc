import { Tailnet } from '@heddle/tailnet';
import { startForward } from '@heddle/tailnet/proxy/forward';
import { startProxy } from '@heddle/tailnet/proxy/proxy';
import { startServe } from '@heddle/tailnet/proxy/serve';
import type { EngineParts } from './services.ts';

/** The real node and the real proxies. Loading this module loads the whole tailnet. */
export const engineParts: EngineParts = {
  createNode: (options) => Tailnet.create(options),
  services: { startProxy, startForward, startServe },
};
