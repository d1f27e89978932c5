import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { BuildError } from '../../error.ts';
import type { SecretSource } from '../options.ts';
import { ownerOf } from './owner.ts';
import type { MountContext, PreparedMount } from './prepare.ts';
import type { MountSpec } from './spec.ts';

const LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * A secret as a file in memory (a tmpfs of the host, readable by its owner alone), a variable, or both, for one RUN
 * (SECURITY I10). A secret that nobody gave is left out unless it is required.
 */
export async function prepareSecret(spec: MountSpec, context: MountContext): Promise<PreparedMount> {
  const id = spec.id ?? spec.source ?? (spec.target ? basename(spec.target) : '');
  if (id === '')
    throw new BuildError(
      'bad-mount',
      'secret should have syntax id=id[,target=path,required=bool,mode=uint,uid=uint,gid=uint,env=dstVarName]',
    );
  const secret = context.session.options.secrets?.get(id);
  if (!secret) {
    if (!spec.required) return {};
    throw new BuildError('bad-mount', `secret required but no secret with id "${id}" found`, {
      hint: `pass --secret id=${id},src=FILE`,
    });
  }
  const value = readSecret(id, secret, context.session.options.run.hostEnvironment);
  const target = spec.target ?? (spec.env === undefined ? `/run/secrets/${id}` : undefined);
  const environment = spec.env === undefined ? [] : [`${spec.env}=${value.toString('utf8')}`];
  if (target === undefined) return { environment };
  const directory = context.session.workspace.directory('secret', memoryDirectory(context));
  context.cleanup.defer(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'secret');
  writeFileSync(path, value, { mode: 0o600 });
  const { uid, gid } = ownerOf(spec, context);
  if (uid || gid) chownSync(path, uid, gid);
  chmodSync(path, spec.mode ?? 0o400);
  return {
    mount: { type: 'bind', source: path, destination: target, options: ['bind', 'rprivate', 'ro'] },
    environment,
  };
}

/** The value of a secret, from its file or the host's environment. @throws BuildError `bad-mount` */
export function readSecret(
  id: string,
  secret: SecretSource,
  environment: Readonly<Record<string, string | undefined>>,
): Buffer {
  if (secret.kind === 'env') return Buffer.from(environment[secret.value] ?? '', 'utf8');
  const fd = openSync(secret.value, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = fstatSync(fd);
    if (status.isDirectory() || status.size > LIMIT_BYTES)
      throw new BuildError('bad-mount', `the secret "${id}" is no file of at most ${LIMIT_BYTES} bytes`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** /dev/shm is memory wherever Linux is set up as usual; else the run root, which is too on most machines. */
function memoryDirectory(context: MountContext): string {
  try {
    accessSync('/dev/shm', constants.W_OK | constants.X_OK);
    return '/dev/shm';
  } catch {
    return context.session.surroundings.store.runRoot;
  }
}
