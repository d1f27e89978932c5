import { matchesGlob } from 'node:path';
import { BuildError } from '../error.ts';

/** `--security-opt` values, parsed. */
export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  /** Path of a profile, or `unconfined`; absent: the default profile. */
  readonly seccomp?: string;
  readonly apparmor?: string;
  /** `label=` values as given: `disable`, `type:…`, `user:…`. */
  readonly labels: readonly string[];
  readonly masked: readonly string[];
  readonly unmasked: readonly string[];
}

/**
 * Parses `--security-opt` values with Buildah's spelling.
 * @throws BuildError `bad-option` for an unknown one (SECURITY B06, I8)
 */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  let noNewPrivileges = false;
  let seccomp: string | undefined;
  let apparmor: string | undefined;
  const labels: string[] = [];
  const masked: string[] = [];
  const unmasked: string[] = [];
  for (const option of options) {
    if (option === 'no-new-privileges') {
      noNewPrivileges = true;
      continue;
    }
    const equals = option.indexOf('=');
    if (equals < 0)
      throw new BuildError('bad-option', `invalid --security-opt name=value pair: ${JSON.stringify(option)}`);
    const name = option.slice(0, equals);
    const value = option.slice(equals + 1);
    if (name === 'seccomp') seccomp = value;
    else if (name === 'apparmor') apparmor = value;
    else if (name === 'label') labels.push(value);
    else if (name === 'mask') masked.push(...value.split(':'));
    else if (name === 'unmask') unmasked.push(...value.split(':'));
    else throw new BuildError('bad-option', `invalid --security-opt 2: "${option}"`);
  }
  return { noNewPrivileges, seccomp, apparmor, labels, masked, unmasked };
}

/** Paths to mask without those that `unmask=` takes away (`ALL`, or patterns). */
export function withoutUnmasked(paths: readonly string[], unmasked: readonly string[]): string[] {
  if (unmasked.some((pattern) => pattern.toLowerCase() === 'all')) return [];
  return paths.filter((path) => !unmasked.some((pattern) => matchesGlob(path, pattern)));
}

/** Without SELinux on the host a label means nothing; with it, one that is not set must not seem to be. */
export function refuseLabels(labels: readonly string[]): void {
  const label = labels.find((value) => value !== 'disable');
  if (label !== undefined)
    throw new BuildError('unsupported', `SELinux labels (label=${label}) are not supported`, {
      hint: 'leave --security-opt label= out, or say label=disable',
    });
}
