import { describe, expect, it } from 'vitest';
import { formatErrno } from './errno.ts';

describe('the name of an error number', () => {
  it.runIf(process.platform === 'linux').each([
    [1, 'EPERM'],
    [11, 'EAGAIN'],
    [17, 'EEXIST'],
    [19, 'ENODEV'],
    [95, 'EOPNOTSUPP'],
    [99, 'EADDRNOTAVAIL'],
  ])('%i is %s', (errno, name) => {
    expect(formatErrno(errno)).toBe(name);
  });

  it('is the number where there is none', () => {
    expect(formatErrno(524)).toBe('errno 524');
  });
});
