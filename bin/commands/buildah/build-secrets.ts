import { existsSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SecretSource, SshSource } from '../../../build/exec/options.ts';
import { onNamedFile } from '../../cli/error.ts';
import { usage } from './arguments.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const SECRET_SYNTAX =
  'creating build executor: incorrect secret flag format: should be --secret id=foo,src=bar[,env=ENV][,type=file|env]';

const LARGEST_KEY_BYTES = 100 * 1024;

/** `--secret id=…,src=…`. @throws UsageError (SECURITY B07) */
export function secretSources(
  texts: readonly string[],
  environment: Environment,
  workingDirectory: string,
): Map<string, SecretSource> {
  return new Map(texts.filter(Boolean).map((text) => secretSource(text, environment, workingDirectory)));
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
  if (type !== 'file' && type !== 'env')
    throw usage('creating build executor: invalid secret type, must be file or env');
  const value = fields.get('env') || fields.get('src') || id;
  if (type === 'env') return [id, { kind: 'env', value }];
  const path = resolve(workingDirectory, value);
  if (!existsSync(path))
    throw usage(
      `creating build executor: could not parse secrets: faccessat ${path}: no such file or directory`,
    );
  return [id, { kind: 'file', value: path }];
}

/** `--ssh default`, `--ssh id=socket`, `--ssh id=key,key`. @throws UsageError */
export function sshSources(texts: readonly string[], environment: Environment): Map<string, SshSource> {
  return new Map(
    texts.filter(Boolean).map((text): [string, SshSource] => {
      const equals = text.indexOf('=');
      const given =
        equals < 0
          ? []
          : text
              .slice(equals + 1)
              .split(',')
              .filter(Boolean);
      const paths = given.length > 0 ? given : [environment.SSH_AUTH_SOCK ?? ''];
      if (paths[0] === '') throw usage('creating build executor: SSH_AUTH_SOCK not set in environment');
      for (const path of paths) checkSshPath(path);
      return [equals < 0 ? text : text.slice(0, equals), { paths }];
    }),
  );
}

/** A socket, or a file that has a private key. */
function checkSshPath(path: string): void {
  const { isKey, isSocket } = onNamedFile('creating build executor: ', path, () => {
    const status = statSync(path);
    const small = status.isFile() && status.size <= LARGEST_KEY_BYTES;
    return {
      isSocket: status.isSocket(),
      isKey: small && /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(readFileSync(path, 'latin1')),
    };
  });
  if (!isSocket && !isKey)
    throw usage(`creating build executor: cannot parse ssh key: ssh: no key found in ${path}`);
}
