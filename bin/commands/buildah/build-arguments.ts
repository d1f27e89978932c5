import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CommandContext } from '../../cli/contract.ts';
import { onNamedFile } from '../../cli/error.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** `--build-arg-file`, then `--build-arg`, later ones win; a bare name takes the environment's value. */
export function buildArguments({ flags, io }: CommandContext): Map<string, string> {
  const args = new Map<string, string>();
  for (const file of flags.list('build-arg-file')) {
    const path = resolve(io.workingDirectory, file);
    const text = onNamedFile('', file, () => readFileSync(path, 'utf8'));
    for (const line of text.split('\n'))
      if (line !== '' && !line.startsWith('#')) add(args, line, io.environment);
  }
  for (const text of flags.list('build-arg')) add(args, text, io.environment);
  return args;
}

function add(args: Map<string, string>, text: string, environment: Environment): void {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? environment[name] : text.slice(equals + 1);
  if (value === undefined) args.delete(name);
  else args.set(name, value);
}

/** `--env`: `NAME=value`; `NAME`, `PREFIX*` and `*` take what the environment has. */
export function environmentEntries(texts: readonly string[], environment: Environment): string[] {
  return texts.flatMap((text) => {
    if (text.includes('=')) return [text];
    return Object.entries(environment)
      .filter(([name]) => (text.endsWith('*') ? name.startsWith(text.slice(0, -1)) : name === text))
      .map(([name, value]) => `${name}=${value ?? ''}`);
  });
}
