import { posix } from 'node:path';
import { IgnoreRules } from '../add/pattern.ts';
import { isGitSource, isRemoteSource } from '../add/remote.ts';
import { parseHeredocWord } from '../parse/heredoc.ts';
import type { Instruction } from '../parse/instruction.ts';
import type { Findings } from './findings.ts';

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** ARG and ENV stay readable in the image's history and configuration. */
export function checkSecretName(instruction: Instruction, name: string, findings: Findings): void {
  if (!SECRET.test(name) || HARMLESS.test(name)) return;
  findings.add(
    'SecretsUsedInArgOrEnv',
    instruction,
    `${instruction.kind.toUpperCase()} ${name} looks like a secret, and anyone who has the image can read it: use RUN --mount=type=secret`,
  );
}

/** One word of EXPOSE, its variables replaced. */
export function checkPort(instruction: Instruction, port: string, findings: Findings): void {
  const slash = port.lastIndexOf('/');
  const protocol = slash < 0 ? '' : port.slice(slash + 1);
  if (protocol !== protocol.toLowerCase())
    findings.add('ExposeProtoCasing', instruction, `the protocol of ${port} is not in lower case`);
  if (/[^:].*:/.test(slash < 0 ? port : port.slice(0, slash)))
    findings.add(
      'ExposeInvalidFormat',
      instruction,
      `${port} names an address or a port of the host: EXPOSE takes the container's port alone`,
    );
}

/** What keeps files out of the main context. */
export interface IgnoreScope {
  readonly rules: IgnoreRules;
  readonly patterns: readonly string[];
}

export function ignoreScope(patterns: readonly string[]): IgnoreScope | undefined {
  const rules = new IgnoreRules(patterns);
  return rules.isEmpty || rules.hasExceptions ? undefined : { rules, patterns };
}

/** One source of COPY or ADD that comes from the main context. Rules with exceptions say nothing certain. */
export function checkSource(
  instruction: Instruction,
  source: string,
  ignore: IgnoreScope,
  findings: Findings,
): void {
  if (isRemoteSource(source) || isGitSource(source) || parseHeredocWord(source)) return;
  const path = posix.normalize(source).replace(/^\/+|\/+$/g, '') || '.';
  const excluded =
    path === '.'
      ? ignore.patterns.some((pattern) => ['*', '**', '**/*'].includes(pattern))
      : ignore.rules.excludes(path);
  if (excluded)
    findings.add(
      'CopyIgnoredFile',
      instruction,
      `${instruction.kind.toUpperCase()} names ${path}, which the ignore file keeps out of the context`,
    );
}
