import { readFileSync } from 'node:fs';
import { isSystemError, SlipwayError } from '../../errors.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../../image/json.ts';
import { formatReference, parseReference } from '../../image/reference.ts';
import { BuildError } from '../error.ts';
import { parsePattern, removePrefix } from '../parse/pattern.ts';

/** A rule of `--source-policy-file` (BuildKit's source policy, the part that Buildah 1.44 has). */
export interface SourceRule {
  readonly action: 'ALLOW' | 'DENY' | 'CONVERT';
  readonly identifier: string;
  readonly matchType: 'EXACT' | 'WILDCARD';
  /** What CONVERT puts in place. */
  readonly target?: string;
}

const PREFIX = 'docker-image://';

/** @throws BuildError `bad-option` */
export function loadSourcePolicy(path: string): readonly SourceRule[] {
  try {
    const json = parseJsonObject(readFileSync(path), { what: path });
    const { rules = [] } = json;
    if (!Array.isArray(rules)) throw new BuildError('bad-option', 'rules is not a list');
    return rules.map(parseRule);
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const why = cause instanceof SlipwayError ? cause.message : unreadable(path, cause);
    throw new BuildError('bad-option', `loading source policy: ${why}`, { cause });
  }
}

function parseRule(value: JsonValue, index: number): SourceRule {
  const fail = (why: string) =>
    new BuildError('bad-option', `validating source policy: rule ${index}: ${why}`);
  if (!isJsonObject(value)) throw fail('is not an object');
  const { action, selector, updates } = value;
  if (!action) throw fail('action is required');
  if (action !== 'ALLOW' && action !== 'DENY' && action !== 'CONVERT')
    throw fail(`unknown action ${JSON.stringify(action)} (valid: ALLOW, DENY, CONVERT)`);
  if (!isJsonObject(selector) || typeof selector.identifier !== 'string' || selector.identifier === '')
    throw fail('selector.identifier is required');
  const matchType = selector.matchType || 'WILDCARD';
  if (matchType === 'REGEX') throw fail('REGEX match type is not supported');
  if (matchType !== 'EXACT' && matchType !== 'WILDCARD')
    throw fail(`unknown matchType ${JSON.stringify(matchType)} (valid: EXACT, WILDCARD)`);
  const target = isJsonObject(updates) ? updates.identifier : undefined;
  if (action === 'CONVERT' && (typeof target !== 'string' || target === ''))
    throw fail('updates.identifier is required for CONVERT action');
  return {
    action,
    identifier: selector.identifier,
    matchType,
    ...(typeof target === 'string' ? { target } : {}),
  };
}

/**
 * The reference to use for an image that a build wants; the first rule that matches decides.
 * @throws BuildError `policy-denied`
 */
export function applySourcePolicy(rules: readonly SourceRule[], reference: string): string {
  if (reference === 'scratch') return reference;
  const identifier = identifierOf(reference);
  const index = rules.findIndex((rule) => matches(rule, identifier));
  const rule = rules[index];
  if (!rule || rule.action === 'ALLOW') return reference;
  if (rule.action === 'DENY')
    throw new BuildError(
      'policy-denied',
      `source "${reference}" denied by source policy: matched rule ${index} (selector: "${rule.identifier}")`,
    );
  return (rule.target as string).replace(PREFIX, '');
}

function identifierOf(reference: string): string {
  if (reference.startsWith(PREFIX)) return reference;
  try {
    return PREFIX + formatReference(parseReference(reference));
  } catch (error) {
    if (error instanceof SlipwayError) return PREFIX + reference;
    throw error;
  }
}

function matches(rule: SourceRule, identifier: string): boolean {
  if (rule.matchType === 'EXACT') return rule.identifier === identifier;
  const pattern = parsePattern(rule.identifier.replaceAll('\\', '\\\\'));
  return identifier !== '' && removePrefix(identifier, pattern, true) === '';
}

function unreadable(path: string, cause: Error): string {
  const reason = isSystemError(cause, 'ENOENT') ? `open ${path}: no such file or directory` : cause.message;
  return `reading source policy file "${path}": ${reason}`;
}
