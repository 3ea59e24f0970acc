import { formatShortKey, parsePublicKey } from '@heddle/proto/keys/public-key';
import type { PendingLogin } from './pending-logins.ts';

/** The page to which a node sends its user. */
export function renderLoginPage(login: PendingLogin): string {
  const key = parsePublicKey('node', login.nodeKey);
  const name = escapeHtml(login.hostinfo.hostname || 'a machine without a name');
  const state = login.isApproved
    ? '<p>It has been let in. You can close this page.</p>'
    : '<form method="post"><button>Let it in</button></form>';
  return renderPage(
    'Join the lab tailnet',
    `<p><b>${name}</b> ${key ? formatShortKey(key) : ''} wants to join.</p>${state}`,
  );
}

export function renderUnknownLogin(): string {
  return renderPage('Unknown login', '<p>This login does not exist, or it waited too long. Start it again.</p>');
}

function renderPage(title: string, body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}</html>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
