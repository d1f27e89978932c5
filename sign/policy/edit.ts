import { chmod, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectories } from '../../config/make-directories.ts';
import { parsePolicy } from '../../config/policy.ts';
import { isSystemError } from '../../errors.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../image/json.ts';
import { SignError } from '../error.ts';

/** What `trust set` can say about a scope. */
export type TrustChoice =
  | { readonly type: 'accept' | 'reject' }
  | { readonly type: 'signedBy' | 'sigstoreSigned'; readonly keyPaths: readonly string[] };

/**
 * policy.json with another rule for a `docker` scope, or for `default`; everything else stays as it is. Several keys
 * make several requirements, all of which an image must fulfil, as `podman image trust set` writes them.
 * @param text the present file; undefined where there is none yet
 * @throws ConfigError `bad-config` when the present file or the result is no valid policy
 */
export function setPolicyRule(text: string | undefined, scope: string, choice: TrustChoice): string {
  if (text !== undefined) parsePolicy(text);
  const policy: JsonObject = text === undefined ? {} : parseJsonObject(text, { what: 'policy' });
  const requirements = requirementsOf(choice);
  if (scope === 'default') policy.default = requirements;
  else {
    policy.default ??= [{ type: 'insecureAcceptAnything' }];
    const transports = isJsonObject(policy.transports) ? policy.transports : {};
    const docker = isJsonObject(transports.docker) ? transports.docker : {};
    policy.transports = { ...transports, docker: { ...docker, [scope]: requirements } };
  }
  const result = `${JSON.stringify(policy, null, 4)}\n`;
  parsePolicy(result);
  return result;
}

function requirementsOf(choice: TrustChoice): JsonObject[] {
  if (choice.type === 'accept') return [{ type: 'insecureAcceptAnything' }];
  if (choice.type === 'reject') return [{ type: 'reject' }];
  if (!('keyPaths' in choice) || choice.keyPaths.length === 0)
    throw new SignError(
      'bad-parameters',
      `at least one public key must be defined for type '${choice.type}'`,
    );
  const kind: JsonObject =
    choice.type === 'signedBy' ? { type: 'signedBy', keyType: 'GPGKeys' } : { type: 'sigstoreSigned' };
  return choice.keyPaths.map((keyPath) => ({ ...kind, keyPath }));
}

/** registries.d YAML of one file with other settings for a namespace; comments and other namespaces stay. */
export async function setSignatureStorage(
  text: string | undefined,
  namespace: string,
  settings: Readonly<Record<string, string | boolean>>,
): Promise<string> {
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text ?? '', { uniqueKeys: true });
  const [problem] = document.errors;
  if (problem) throw new SignError('bad-parameters', `registries.d: ${problem.message.split('\n')[0]}`);
  const path = namespace === 'default' ? ['default-docker'] : ['docker', namespace];
  for (const [key, value] of Object.entries(settings)) document.setIn([...path, key], value);
  return document.toString();
}

/**
 * Replaces a file by rename after fsync, so that readers see the old or the new one whole. A link stays a link.
 * @param edit gets the present text, undefined where there is no file
 */
export async function editFile(
  path: string,
  edit: (text: string | undefined) => string | Promise<string>,
): Promise<void> {
  const target = await resolveLink(path);
  const present = await ifThere(() => readFile(target, 'utf8'));
  const mode = (await ifThere(() => stat(target)))?.mode ?? 0o644;
  const text = await edit(present);
  makeDirectories(dirname(target));
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    await using file = await open(temporary, 'wx', mode & 0o777);
    await file.writeFile(text);
    await file.sync();
    await chmod(temporary, mode & 0o777);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, target);
}

async function resolveLink(path: string): Promise<string> {
  return (await ifThere(() => realpath(path))) ?? path;
}

async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}
