import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunMount } from '../../run/contract.ts';
import type { MountContext, PreparedMount } from './prepare.ts';
import { mountableSource } from './source.ts';
import type { MountSpec } from './spec.ts';

/**
 * A bind mount of the context, another stage, an image or an additional context. A writable one gets an overlay, or,
 * for a single file, a copy: writes are seen by this RUN alone and never reach what was mounted (SECURITY B14).
 */
export async function prepareBind(spec: MountSpec, context: MountContext): Promise<PreparedMount> {
  // What the one who runs a command names is their own; a context or an image may be anyone's.
  const foreign = spec.from !== undefined || !context.forgetsWrites;
  return { mount: { ...(await bindMount(spec, context)), foreign } };
}

async function bindMount(spec: MountSpec, context: MountContext): Promise<RunMount> {
  const { session, stage } = context;
  const root =
    spec.from === undefined
      ? spec.readOnly === false && !context.forgetsWrites
        ? await session.writableContext()
        : session.contextDirectory
      : (await session.filesFrom(stage.index, spec.from, `${spec.text} from`)).directory;
  const source = await mountableSource(root, spec.source ?? '.', spec.source ?? spec.text, context);
  const destination = spec.target as string;
  const bind = spec.recursive ? 'rbind' : 'bind';
  if (spec.readOnly === false && spec.from === undefined && !context.forgetsWrites)
    return { type: 'bind', source: source.path, destination, options: ['rw', ...spec.flags, bind] };
  if (spec.readOnly !== false)
    return { type: 'bind', source: source.path, destination, options: ['ro', ...spec.flags, bind] };
  if (source.isDirectory) return discardingOverlay(source.path, destination, context.scratch, spec.flags);
  const directory = mkdtempSync(join(context.scratch, 'file-'));
  const copy = join(directory, 'file');
  writeFileSync(copy, readFileSync(source.path), { mode: statSync(source.path).mode & 0o777 });
  return { type: 'bind', source: copy, destination, options: ['rw', ...spec.flags, bind] };
}

/**
 * A writable view of a directory, with its owner and permissions; what is written goes to a scratch directory that the
 * end of the RUN removes.
 */
export function discardingOverlay(
  lower: string,
  destination: string,
  scratch: string,
  flags: readonly string[],
): RunMount {
  const directory = mkdtempSync(join(scratch, 'overlay-'));
  for (const name of ['upper', 'work']) mkdirSync(join(directory, name), { mode: 0o755 });
  const given = (name: string) => flags.find((flag) => flag.startsWith(`${name}=`))?.slice(name.length + 1);
  const { uid, gid, mode } = statSync(lower);
  chownSync(join(directory, 'upper'), uid, gid);
  chmodSync(join(directory, 'upper'), mode & 0o7777);
  return {
    type: 'overlay',
    source: 'overlay',
    destination,
    options: [
      `lowerdir=${lower.replaceAll(':', '\\:')}`,
      `upperdir=${given('upperdir') ?? join(directory, 'upper')}`,
      `workdir=${given('workdir') ?? join(directory, 'work')}`,
      ...flags.filter((flag) => flag.startsWith('no')),
      'private',
    ],
  };
}
