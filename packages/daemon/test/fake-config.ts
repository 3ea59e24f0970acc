import type { EngineConfig } from '../src/schema/engine-config.ts';

export const AUTH_KEY = 'hskey-auth-SECRET-value';

export function createConfig(dir: string, change: Partial<EngineConfig> = {}): EngineConfig {
  return {
    context: 'test',
    socketPath: `${dir}/x.sock`,
    stateDir: `${dir}/state`,
    controlUrl: 'http://ok.test',
    authKey: AUTH_KEY,
    proxy: '127.0.0.1:16579',
    forwards: ['127.0.0.1:15432:db:5432'],
    serves: ['8080:127.0.0.1:3000'],
    isVerbose: false,
    ...change,
  };
}
