import { describe, expect, it } from 'vitest';
import { resolveTarget } from './target.ts';

const HOME = { HOME: '/home/ann' };

describe('resolveTarget', () => {
  it('puts a context under the home directory', () => {
    expect(resolveTarget({}, HOME)).toEqual({
      context: 'default',
      stateDir: '/home/ann/.local/state/heddle/default',
      socketPath: '/home/ann/.local/state/heddle/default.sock',
      logPath: '/home/ann/.local/state/heddle/default/engine.log',
    });
    expect(resolveTarget({ context: 'work' }, HOME).stateDir).toBe('/home/ann/.local/state/heddle/work');
  });

  it('follows the XDG directories', () => {
    const env = { ...HOME, XDG_RUNTIME_DIR: '/run/user/7', XDG_STATE_HOME: '/state' };
    const target = resolveTarget({ context: 'work' }, env);
    expect(target.socketPath).toBe('/run/user/7/heddle/work.sock');
    expect(target.stateDir).toBe('/state/heddle/work');
  });

  it('keeps everything of a directory of one’s own together', () => {
    expect(resolveTarget({ stateDir: '/srv/alpha' }, { ...HOME, XDG_RUNTIME_DIR: '/run/user/7' })).toEqual({
      context: 'alpha',
      stateDir: '/srv/alpha',
      socketPath: '/srv/alpha/engine.sock',
      logPath: '/srv/alpha/engine.log',
    });
    expect(resolveTarget({ stateDir: '/srv/.x' }, HOME).context).toBe('default');
    expect(resolveTarget({ stateDir: '/srv/a', socketPath: '/tmp/s' }, HOME).socketPath).toBe('/tmp/s');
  });

  it('refuses names that would leave the directory', () => {
    for (const context of ['..', 'a/b', '', 'a.b', '-a', 'a'.repeat(65)]) {
      expect(() => resolveTarget({ context }, HOME)).toThrow(/is not a name/);
    }
  });
});
