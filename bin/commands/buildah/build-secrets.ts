import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SecretSource, SshSource } from '../../../build/exec/options.ts';
import { usage } from './arguments.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const SECRET_SYNTAX =
  'could not parse secrets: incorrect secret flag format: should be --secret id=foo,src=bar[,env=ENV][,type=file|env]';

/** `--secret id=…,src=…`. @throws UsageError (SECURITY B07) */
export function secretSources(
  texts: readonly string[],
  environment: Environment,
  workingDirectory: string,
): Map<string, SecretSource> {
  return new Map(texts.map((text) => secretSource(text, environment, workingDirectory)));
}

function secretSource(
  text: string,
  environment: Environment,
  workingDirectory: string,
): [string, SecretSource] {
  const fields = new Map<string, string>();
  for (const field of text.split(',')) {
    const equals = field.indexOf('=');
    const key = equals < 0 ? field : field.slice(0, equals);
    if (equals < 0 || !['id', 'src', 'source', 'env', 'type'].includes(key)) throw usage(SECRET_SYNTAX);
    fields.set(key === 'source' ? 'src' : key, field.slice(equals + 1));
  }
  const id = fields.get('id');
  if (!id) throw usage(SECRET_SYNTAX);
  const type =
    fields.get('type') ??
    (fields.has('env') || (!fields.has('src') && environment[id] !== undefined) ? 'env' : 'file');
  if (type !== 'file' && type !== 'env') throw usage('invalid secret type, must be file or env');
  const value = fields.get('env') || fields.get('src') || id;
  if (type === 'env') return [id, { kind: 'env', value }];
  const path = resolve(workingDirectory, value);
  if (!existsSync(path)) throw usage(`could not parse secrets: stat ${path}: no such file or directory`);
  return [id, { kind: 'file', value: path }];
}

/** `--ssh default`, `--ssh id=socket`, `--ssh id=key,key`. @throws UsageError */
export function sshSources(texts: readonly string[], environment: Environment): Map<string, SshSource> {
  return new Map(
    texts.map((text): [string, SshSource] => {
      const equals = text.indexOf('=');
      const given =
        equals < 0
          ? []
          : text
              .slice(equals + 1)
              .split(',')
              .filter(Boolean);
      const paths = given.length > 0 ? given : [environment.SSH_AUTH_SOCK ?? ''];
      if (paths[0] === '') throw usage('$SSH_AUTH_SOCK not set');
      for (const path of paths)
        if (!existsSync(path))
          throw usage(`could not parse ssh sources: stat ${path}: no such file or directory`);
      return [equals < 0 ? text : text.slice(0, equals), { paths }];
    }),
  );
}
