import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import { BuildError } from '../error.ts';
import type { SpecHook, SpecHooks } from './runtime-spec.ts';

/** A file of a hooks directory (oci-hooks(5), version 1.0.0). */
interface HookFile {
  readonly version: string;
  readonly hook: SpecHook;
  readonly when: {
    readonly always?: boolean;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly commands?: readonly string[];
    readonly hasBindMounts?: boolean;
  };
  readonly stages: readonly string[];
}
type Stage = keyof SpecHooks;
const STAGES: Readonly<Record<string, Stage>> = {
  prestart: 'prestart',
  createRuntime: 'createRuntime',
  createContainer: 'createContainer',
  startContainer: 'startContainer',
  poststart: 'poststart',
  poststop: 'poststop',
};

export interface HookSituation {
  readonly command: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hasBindMounts: boolean;
}

/**
 * The hooks of the directories that fit a container, in the order of their file names; of two files with one name the
 * one of the later directory counts.
 * @throws BuildError `bad-option` for a file that is no hook, or whose program is missing
 */
export function chooseHooks(directories: readonly string[], situation: HookSituation): SpecHooks {
  const files = new Map<string, string>();
  for (const directory of directories)
    for (const name of hookFiles(directory)) files.set(name, join(directory, name));
  const chosen: Partial<Record<Stage, SpecHook[]>> = {};
  for (const name of [...files.keys()].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))) {
    const path = files.get(name) as string;
    const file = readHook(path);
    if (!fits(file, situation, path)) continue;
    for (const stage of file.stages) {
      const to = STAGES[stage];
      if (!to) throw bad(path, `unknown stage "${stage}"`);
      chosen[to] = [...(chosen[to] ?? []), file.hook];
    }
  }
  return chosen;
}

function hookFiles(directory: string): string[] {
  const names = ifThere(() => readdirSync(directory), 'ENOENT') ?? [];
  return names.filter((name) => name.endsWith('.json'));
}

function readHook(path: string): HookFile {
  let file: Partial<HookFile>;
  try {
    file = JSON.parse(readFileSync(path, 'utf8')) as Partial<HookFile>;
  } catch (cause) {
    throw new BuildError('bad-option', `parsing hook "${path}" failed`, { cause });
  }
  const { version, hook, when, stages } = file;
  if (version !== '1.0.0') throw bad(path, `unexpected hook version "${version}" (expecting 1.0.0)`);
  if (!hook?.path) throw bad(path, 'missing required property: hook.path');
  if (!existsSync(hook.path)) throw bad(path, `${hook.path} does not exist`);
  if (!Array.isArray(stages)) throw bad(path, 'missing required property: stages');
  return { version, hook, when: when ?? {}, stages };
}

function bad(path: string, reason: string): BuildError {
  return new BuildError('bad-option', `hook "${path}": ${reason}`);
}

/** All given conditions have to hold, and at least one has to be given. */
function fits({ when }: HookFile, situation: HookSituation, path: string): boolean {
  const matches = (pattern: string, text: string) => {
    try {
      return new RegExp(pattern).test(text);
    } catch {
      throw bad(path, `${JSON.stringify(pattern)} is no regular expression`);
    }
  };
  const results: boolean[] = [];
  if (when.always !== undefined) results.push(when.always);
  if (when.hasBindMounts !== undefined) results.push(when.hasBindMounts && situation.hasBindMounts);
  for (const [key, value] of Object.entries(when.annotations ?? {}))
    results.push(
      Object.entries(situation.annotations).some(
        ([name, text]) => matches(key, name) && matches(value, text),
      ),
    );
  if (when.commands?.length)
    results.push(when.commands.some((pattern) => matches(pattern, situation.command)));
  return results.length > 0 && results.every((result) => result);
}
