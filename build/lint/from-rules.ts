import type { Platform } from '../../image/platform.ts';
import { formatPlatform, normalizePlatform, parseExplicitPlatform } from '../../image/platform.ts';
import { parseReference } from '../../image/reference.ts';
import type { Variables } from '../parse/expand.ts';
import type { FromInstruction } from '../parse/instruction.ts';
import { nearest } from '../parse/nearest.ts';
import type { Findings } from './findings.ts';
import { type Expansion, expansionOf } from './lookups.ts';

/** What FROM lines are looked at with. */
export interface FromScope {
  /** Heading arguments with the values that the build gives, then the platform arguments. */
  readonly variables: Variables;
  /** The same without what the command line gives. */
  readonly defaults: Variables;
  /** Every name that FROM may use, with a value or without. */
  readonly declared: readonly string[];
  readonly escape: string;
  readonly buildPlatform: Platform;
}

/** The rules about one FROM line, whatever becomes of its stage. */
export function checkFromLine(from: FromInstruction, scope: FromScope, findings: Findings): void {
  const base = expansionOf(from.image, scope.variables, scope.escape);
  reportUndeclared(from, base, scope, findings);
  if (from.platform !== undefined) checkPlatform(from, from.platform, scope, findings);
  checkDefaultBase(from, scope, findings);
}

function reportUndeclared(
  from: FromInstruction,
  { unset }: Expansion,
  { declared }: FromScope,
  findings: Findings,
): void {
  for (const name of unset) {
    if (declared.includes(name)) continue;
    const near = nearest(name, declared);
    findings.add(
      'UndefinedArgInFrom',
      from,
      `FROM uses ${name}, which no ARG above it declares${near ? ` (did you mean ${near}?)` : ''}`,
    );
  }
}

function checkPlatform(from: FromInstruction, text: string, scope: FromScope, findings: Findings): void {
  const expansion = expansionOf(text, scope.variables, scope.escape);
  reportUndeclared(from, expansion, scope, findings);
  const onlyTarget = expansion.set.size === 1 && expansion.set.has('TARGETPLATFORM') && !expansion.unset.size;
  if (onlyTarget && expansion.text === scope.variables('TARGETPLATFORM'))
    findings.add('RedundantTargetPlatform', from, `--platform=${text} is what FROM does without it`);
  if (expansion.set.size === 0 && expansion.unset.size === 0)
    checkConstantPlatform(from, expansion.text, scope, findings);
}

/** A stage that names the platform in its own name means it. */
function checkConstantPlatform(
  from: FromInstruction,
  text: string,
  { buildPlatform }: FromScope,
  findings: Findings,
): void {
  let platform: Platform;
  try {
    platform = parseExplicitPlatform(text, buildPlatform);
  } catch {
    return;
  }
  const name = from.stageName?.toLowerCase() ?? '';
  if (name.includes(platform.os) || name.includes(platform.architecture)) return;
  findings.add(
    'FromPlatformFlagConstDisallowed',
    from,
    `--platform=${text} is a fixed value: use $BUILDPLATFORM or $TARGETPLATFORM, or name the stage after the platform`,
  );
}

function checkDefaultBase(from: FromInstruction, scope: FromScope, findings: Findings): void {
  const { text, problem } = expansionOf(from.image, scope.defaults, scope.escape);
  if (problem || isReference(text)) return;
  findings.add(
    'InvalidDefaultArgInFrom',
    from,
    `with the defaults of its arguments, ${from.image} is ${text === '' ? 'empty' : `${text}, no valid image name`}`,
  );
}

/** Names of transports and local paths are Buildah's and valid, too. */
function isReference(text: string): boolean {
  if (
    /^(?:oci|oci-archive|docker-archive|dir|docker|containers-storage|docker-daemon|sif|tarball):./.test(text)
  )
    return true;
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}

/** The base image is of another platform than the stage asks for. */
export function checkBasePlatform(
  from: FromInstruction,
  base: string,
  expected: Platform,
  actual: Platform,
  findings: Findings,
): void {
  if (expected.os === actual.os && expected.architecture === actual.architecture) return;
  findings.add(
    'InvalidBaseImagePlatform',
    from,
    `${base} is of ${formatPlatform(normalizePlatform(actual))}, the build is for ${formatPlatform(normalizePlatform(expected))}`,
  );
}
