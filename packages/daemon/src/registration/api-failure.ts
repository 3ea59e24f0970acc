import { objectOf, optional, type Shape, text } from '../schema/shape.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { type RegistrationCode, RegistrationError } from './registration-error.ts';
import { quoteServerText } from './server-text.ts';

/** What a failed answer was an answer to. */
export interface FailedCall {
  readonly host: string;
  /** `the registration`, for the message. */
  readonly what: string;
  /** Taken out of whatever the server says. */
  readonly secrets: readonly string[];
}

/**
 * The error of an answer that is no success, by the title the API gives its errors, else by the status.
 * Source: `{"error": "<title>", "detail": "<text>", "status_code": n}`; validation errors have an object as detail.
 */
export function toApiFailure(answer: HttpAnswer, { host, what, secrets }: FailedCall): RegistrationError {
  const { status } = answer;
  const said = readErrorBody(answer);
  const code = codeOf(status, said?.title);
  const words = said === undefined ? `status ${status}` : quoteServerText(said.words, secrets);
  return new RegistrationError(code, `${host} refused ${what}: ${words}`, {
    status,
    isRetryable: status >= 500 || status === 429 || status === 408,
    retryAfterMs: status === 429 || status === 503 ? parseRetryAfterMs(answer.retryAfter) : undefined,
  });
}

const BY_TITLE: Readonly<Record<string, RegistrationCode>> = {
  'Rate Limit Exceeded': 'registration/rate-limited',
  'Authentication Required': 'registration/authentication-required',
  'Organization Required': 'registration/organization-required',
  'Access Denied': 'registration/access-denied',
  'Organization Not Found': 'registration/organization-not-found',
  'Validation Error': 'registration/validation',
  'Token Expired': 'registration/token-expired',
  'Token Usage Limit Exceeded': 'registration/token-used-up',
  'Invalid Registration Token': 'registration/invalid-token',
  'Certificate Authority Missing': 'registration/ca-missing',
  'No Lighthouse Nodes Available': 'registration/no-lighthouse',
  'No Available IP Addresses': 'registration/no-addresses',
  'Node Creation Failed': 'registration/node-creation-failed',
  'Certificate Generation Failed': 'registration/certificate-failed',
  'Registration Failed': 'registration/registration-failed',
};

const BY_STATUS: Readonly<Record<number, RegistrationCode>> = {
  400: 'registration/validation',
  401: 'registration/authentication-required',
  403: 'registration/access-denied',
  404: 'registration/not-found',
  409: 'registration/conflict',
  410: 'registration/gone',
  422: 'registration/validation',
  429: 'registration/rate-limited',
};

// 502 and 504 come from something in front of the API, whatever they say.
function codeOf(status: number, title: string | undefined): RegistrationCode {
  const byTitle = title !== undefined && Object.hasOwn(BY_TITLE, title) ? BY_TITLE[title] : undefined;
  if (byTitle !== undefined && status >= 400 && status !== 502 && status !== 504) return byTitle;
  if (status >= 300 && status < 400) return 'registration/redirected';
  if (status >= 500) return 'registration/server-error';
  return BY_STATUS[status] ?? (status >= 400 ? 'registration/refused' : 'registration/not-a-team-server');
}

interface ErrorBody {
  readonly title: string | undefined;
  readonly words: string;
}

const errorShape: Shape<{ readonly error?: string | undefined; readonly detail?: unknown }> = objectOf({
  error: optional(text),
  detail: (value) => ({ kind: 'ok', value }),
});

function readErrorBody(answer: HttpAnswer): ErrorBody | undefined {
  if (answer.contentType !== 'application/json') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(answer.body.toString('utf8'));
  } catch {
    return undefined;
  }
  const result = errorShape(value);
  if (result.kind === 'bad') return undefined;
  const { error: title, detail } = result.value;
  const words = [title, describeDetail(detail)].filter((part) => part !== undefined && part !== '').join(': ');
  return words === '' ? undefined : { title, words };
}

const FIELD_COUNT_MAX = 8;

/** `node_name: This field is required.`; of lists the first entry. */
function describeDetail(detail: unknown): string | undefined {
  if (typeof detail === 'string') return detail;
  if (typeof detail !== 'object' || detail === null || Array.isArray(detail)) return undefined;
  const parts: string[] = [];
  for (const [field, problem] of Object.entries(detail).slice(0, FIELD_COUNT_MAX)) {
    const first: unknown = Array.isArray(problem) ? problem[0] : problem;
    if (typeof first === 'string') parts.push(`${field}: ${first}`);
  }
  return parts.join('; ');
}

const RETRY_AFTER_SECONDS_MAX = 86_400;

// RFC 9110 §10.2.3: seconds, or a date; servers of this API send seconds if anything.
function parseRetryAfterMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,9}$/.test(text)) return undefined;
  return Math.min(Number(text), RETRY_AFTER_SECONDS_MAX) * 1000;
}
