import { describe, expect, it } from 'vitest';
import { formatPlan } from './plan-text.ts';

describe('the text of a plan', () => {
  it('has one line a team, and two a finding', () => {
    const text = formatPlan([
      { team: 'home', plan: { kind: 'clear', device: 'cvpn0abc1234', listenPort: 0, findings: [] } },
      {
        team: 'office-lighthouse',
        plan: {
          kind: 'clear',
          device: 'cvpn9',
          listenPort: 4242,
          proxyPort: 16580,
          findings: [{ severity: 'moved', code: 'plan/proxy-port-taken', message: 'Moved', next: 'nothing' }],
        },
      },
      {
        team: 'x',
        plan: {
          kind: 'refused',
          findings: [{ severity: 'refusal', code: 'plan/overlapping-team', message: 'Overlap', next: 'heddle down y' }],
        },
      },
    ]);
    expect(text).toBe(
      [
        'TEAM               PLAN     DEVICE        UDP PORT  PROXY PORT',
        'home               clear    cvpn0abc1234  any       -',
        'office-lighthouse  clear    cvpn9         4242      16580',
        'x                  refused  -             -         -',
        '',
        'moved    Moved',
        '         next: nothing',
        'refusal  Overlap',
        '         next: heddle down y',
        '',
      ].join('\n'),
    );
  });

  it('says that there are no teams', () => {
    expect(formatPlan([])).toBe('No teams\n');
  });

  it('lets no control character of a name through', () => {
    const findings = [{ severity: 'warning', code: 'plan/bad-prefix', message: 'a\u001b[31m\nb', next: '\r' }] as const;
    const text = formatPlan([{ team: 'a', plan: { kind: 'clear', findings } }]);
    expect(text).toContain('warning  a?[31m?b\n         next: ?\n');
  });
});
