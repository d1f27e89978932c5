import { formatReference, parseReference, withDefaultTag } from '../../image/reference.ts';
import { type ImageReference, TRANSPORTS } from '../../transport/contract.ts';
import { copyStored } from '../commit/copy-stored.ts';
import { isShortName } from '../container/find-image.ts';
import { BuildError } from '../error.ts';
import type { BuildSession } from './session.ts';

/** Where the image of the last stage goes. */
export interface BuildDestination {
  /** True for local storage. */
  readonly isStore: boolean;
  /** The name as storage keeps it; empty for another transport. */
  readonly storedName: string;
  reference(): Promise<ImageReference | undefined>;
  /** Gives an image that is in the store already this name, or copies it there. */
  tag(imageId: string): Promise<void>;
}

/**
 * Reads `-t`: `transport:rest`, or a name for local storage, where short names belong to localhost.
 * @throws BuildError `bad-argument`
 */
export function destinationOf(session: BuildSession, name: string): BuildDestination {
  const transport = /^([a-z-]+):/.exec(name)?.[1];
  const elsewhere =
    transport !== undefined &&
    (TRANSPORTS as readonly string[]).includes(transport) &&
    (transport !== 'docker' || name.startsWith('docker://'));
  const open = async () => {
    const { parseImageReference } = await import('../../transport/references.ts');
    return parseImageReference(name, { workingDirectory: session.surroundings.workingDirectory });
  };
  if (elsewhere && transport !== 'containers-storage')
    return {
      isStore: false,
      storedName: '',
      reference: open,
      tag: async (imageId) => {
        await copyStored(session.surroundings, imageId, await open(), {});
      },
    };
  const storedName = storageName(name.replace(/^containers-storage:(\[[^\]]*\])?/, ''));
  return {
    isStore: true,
    storedName,
    reference: async () => undefined,
    tag: async (imageId) => {
      await session.surroundings.store.images.addNames(imageId, [storedName]);
    },
  };
}

/** A name as local storage keeps it: `app` is `localhost/app:latest`. @throws BuildError `bad-argument` */
export function storageName(name: string): string {
  try {
    const qualified = isShortName(name) ? `localhost/${name}` : name;
    return formatReference(withDefaultTag(parseReference(qualified)));
  } catch (cause) {
    throw new BuildError('bad-argument', `tag ${name}: invalid reference format`, { cause });
  }
}
