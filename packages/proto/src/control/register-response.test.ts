import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import vector from '../../test/vectors/control/register.json' with { type: 'json' };
import { isAuthKeyRefusal, parseRegisterResponse } from './register-response.ts';

const answers = vector.exchanges.filter((exchange) => exchange.status === 200 && !exchange.isLogout);

describe('recorded answers', () => {
  it.each(answers)('$server: $step', ({ response, step, hasAuthKey }) => {
    const result = parseRegisterResponse(response);
    if (response.Error !== '') {
      expect(result).toEqual({ kind: 'refused', reason: response.Error });
      // Every refusal in the recordings is about a key: a wrong, spent or expired one, or none.
      expect(isAuthKeyRefusal(response.Error), `${response.Error} ${hasAuthKey}`).toBe(true);
    } else if (response.AuthURL !== '') expect(result).toEqual({ kind: 'needs-login', authUrl: response.AuthURL });
    else expect(result, step).toEqual({ kind: 'registered' });
  });

  it('have all kinds in them', () => {
    const kinds = new Set(answers.map(({ response }) => parseRegisterResponse(response).kind));
    expect([...kinds].sort()).toEqual(['needs-login', 'refused', 'registered']);
  });
});

it('an expired key comes before a login page', () => {
  expect(parseRegisterResponse({ NodeKeyExpired: true, AuthURL: 'http://h/x' })).toEqual({ kind: 'key-expired' });
});

it('a login page that no browser should open is damage', () => {
  for (const AuthURL of ['javascript:alert(1)', 'file:///etc/passwd', 'http://h/\u001b[2J', 'http://h/ x']) {
    expect(parseRegisterResponse({ AuthURL })).toEqual({ kind: 'damaged' });
  }
});

it('words about other things are no refusal of a key', () => {
  expect(isAuthKeyRefusal('node exists with a different machine key')).toBe(false);
});

it('any JSON is survived', () => {
  fc.assert(fc.property(fc.jsonValue(), (json) => void parseRegisterResponse(json)));
});
