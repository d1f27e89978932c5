import type { WorkingContainer } from '../../../build/container/contract.ts';
import { createContainer } from '../../../build/container/create.ts';
import { withMount } from '../../../build/container/mount.ts';
import { BuildError } from '../../../build/error.ts';
import type { IdMappings } from '../../../store/layer/contract.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { blobDirectoryOf } from './blob-cache-flag.ts';
import { findContainer } from './containers-in-store.ts';
import { retryDelay } from './registry-flags.ts';
import type { Session } from './session.ts';

/** The root that `--from` names, mounted until it is disposed. */
export interface CopySource extends AsyncDisposable {
  readonly rootfs: string;
  readonly idMappings?: IdMappings;
}

/** Opens `--from`: a working container, else an image by way of a container for the time. Undefined for an empty name. */
export async function openFrom(
  context: CommandContext,
  session: Session,
  name: string,
): Promise<CopySource | undefined> {
  if (name === '') return undefined;
  const known = await session.store.containers.get(name);
  const container = known ? await findContainer(session, name) : await temporary(context, session, name);
  const mounted = await withMount(session.store, container);
  return {
    rootfs: mounted.rootfs,
    idMappings: container.idMappings,
    async [Symbol.asyncDispose]() {
      await mounted[Symbol.asyncDispose]();
      if (!known) await session.store.deleteContainer(container.id);
    },
  };
}

async function temporary(context: CommandContext, session: Session, name: string): Promise<WorkingContainer> {
  const { flags, note } = context;
  try {
    return await createContainer(session.surroundings, {
      from: name,
      decryptionKeys: flags.list('decryption-key'),
      blobCacheDirectory: blobDirectoryOf(context),
      retries: flags.number('retry'),
      retryDelayMs: retryDelay(context),
      onStatus: flags.bool('quiet') ? undefined : note,
    });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new BuildError(
      'no-such-container',
      `no container named "${name}", error copying content from image "${name}": ${text}`,
      { cause },
    );
  }
}
