import { existsSync } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { makeDirectories } from '../../config/make-directories.ts';
import { isSystemError, systemReason } from '../../errors.ts';
import { StoreError } from '../../store/error.ts';
import type { IdMappings } from '../../store/layer/contract.ts';
import { removeTree } from '../../store/storage/remove-tree.ts';
import { layerTar } from '../commit/layer-tar.ts';
import { BuildError } from '../error.ts';
import { openOutput } from './log.ts';
import type { BuildOutput } from './options.ts';
import type { BuildSession, StageResult } from './session.ts';

/** Writes the result's files where `--output` says: a directory, a tar file, or a tar on stdout. */
export async function writeOutputs(session: BuildSession, result: StageResult): Promise<void> {
  const { outputs = [] } = session.options;
  if (outputs.length === 0) return;
  const root = result.container
    ? await session.workspace.mountLayer(result.container.layerId)
    : await session.layerDirectory(result.view?.record.topLayer);
  const idMappings = result.container?.idMappings;
  for (const output of outputs) await writeOutput(session, { root, idMappings }, output);
}

async function writeOutput(
  session: BuildSession,
  { root, idMappings }: { readonly root: string; readonly idMappings?: IdMappings },
  output: BuildOutput,
): Promise<void> {
  const { options, surroundings } = session;
  const seconds = options.sourceDateEpochSeconds ?? options.timestampSeconds;
  const timestamp = seconds === undefined ? undefined : ({ seconds, mode: 'set' } as const);
  // Opened where it is read at once: a failure of one that nobody reads yet would end the process.
  const openTar = () => layerTar(root, timestamp, { idMappings, signal: surroundings.signal });
  if (output.type === 'local') return writeDirectory(session, output.path, openTar);
  if (output.path !== '-') return writeTar(output.path, openTar);
  const through = new PassThrough();
  const stdout = openOutput(options.stdout);
  through.on('data', (chunk: Buffer) => stdout.write(chunk));
  await pipeline(openTar(), through);
}

/** A directory that was not there before is taken away again where it cannot be written whole. */
async function writeDirectory(
  { surroundings: { store, signal } }: BuildSession,
  path: string,
  openTar: () => Readable,
): Promise<void> {
  const { applyLayer } = await import('../../store/layer/apply.ts');
  const isNew = !existsSync(path);
  makeDestination(path);
  try {
    await applyLayer(path, openTar(), {
      whiteouts: 'delete',
      ignoreChownErrors: store.rootless,
      inUserNamespace: store.rootless,
      signal,
    });
  } catch (cause) {
    if (isNew) await removeTree(path);
    if (!(cause instanceof StoreError)) throw cause;
    const { code, message, hint } = cause;
    const what = `failed to export build output: writing ${path}: ${message}`;
    throw new StoreError(code, what, { cause, ...(hint ? { hint } : {}) });
  }
}

/** The file gets its name once it is whole. */
async function writeTar(path: string, openTar: () => Readable): Promise<void> {
  const { openArchiveOutput } = await import('../../transport/archive/output.ts');
  const output = await openArchiveOutput(path).catch((cause: unknown) => {
    const reason = isSystemError(cause) ? systemReason(cause) : 'is a directory';
    const what = `failed while creating destination tar at "${path}": open ${path}: ${reason}`;
    throw new BuildError('bad-argument', `failed to export build output: ${what}`, { cause });
  });
  try {
    await pipeline(openTar(), output.stream);
    await output.publish();
  } catch (cause) {
    await output.discard();
    if (!isSystemError(cause) || cause.syscall !== 'write') throw cause;
    const message = `failed to export build output: write ${path}: ${systemReason(cause)}`;
    throw new BuildError('system', message, { cause });
  }
}

function makeDestination(path: string): void {
  try {
    makeDirectories(path, 0o700);
  } catch (cause) {
    const taken = isSystemError(cause, 'EEXIST', 'ENOTDIR');
    if (!taken) throw cause;
    throw new BuildError(
      'bad-argument',
      `failed to export build output: failed while creating the destination path "${path}": mkdir ${path}: not a directory`,
      { cause },
    );
  }
}

/**
 * Reads `--output`: a directory, `-`, or `type=local|tar,dest=PATH`.
 * @param resolvePath makes a path absolute
 * @throws BuildError `bad-option`
 */
export function parseOutput(text: string, resolvePath: (path: string) => string): BuildOutput {
  if (!/[,=]/.test(text))
    return text === '-' ? { type: 'tar', path: '-' } : { type: 'local', path: resolvePath(text) };
  const fields = new Map<string, string>();
  for (const option of text.split(',')) {
    const equals = option.indexOf('=');
    if (equals < 0)
      throw new BuildError('bad-option', `invalid build output options "${text}", expected format key=value`);
    const key = option.slice(0, equals);
    if (key !== 'type' && key !== 'dest')
      throw new BuildError('bad-option', `unrecognized key "${key}" in build output option: "${text}"`);
    if (fields.has(key)) throw new BuildError('bad-option', `duplicate "${key}" not supported`);
    fields.set(key, option.slice(equals + 1));
  }
  return checkedOutput(text, fields.get('type'), fields.get('dest'), resolvePath);
}

function checkedOutput(
  text: string,
  type: string | undefined,
  path: string | undefined,
  resolvePath: (path: string) => string,
): BuildOutput {
  if (type === undefined)
    throw new BuildError('bad-option', `missing required key "type" in build output option: "${text}"`);
  if (type !== 'local' && type !== 'tar')
    throw new BuildError('bad-option', `invalid type "${type}" selected for build output options "${text}"`, {
      hint: 'types are local and tar',
    });
  if (!path)
    throw new BuildError('bad-option', `missing required key "dest" in build output option: "${text}"`);
  if (path !== '-') return { type, path: resolvePath(path) };
  if (type === 'tar') return { type, path };
  throw new BuildError(
    'bad-option',
    `invalid build output option "${text}", only "type=tar" can be used with "dest=-"`,
  );
}
