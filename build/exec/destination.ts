import { isShortName } from '../../config/short-names.ts';
import { formatReference, parseReference, withDefaultTag } from '../../image/reference.ts';
import { type ImageReference, TRANSPORTS } from '../../transport/contract.ts';
import { copyStored } from '../commit/copy-stored.ts';
import { refuseOtherDigest } from '../commit/named-digest.ts';
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
  const open = async () => {
    const { parseImageReference } = await import('../../transport/references.ts');
    return parseImageReference(name, { workingDirectory: session.surroundings.workingDirectory });
  };
  if (isElsewhere(name))
    return {
      isStore: false,
      storedName: '',
      reference: open,
      tag: async (imageId) => {
        await copyStored(session.surroundings, imageId, await open(), { ...session.options.copy });
      },
    };
  const storedName = storageName(withoutStoreTransport(name));
  return {
    isStore: true,
    storedName,
    reference: async () => undefined,
    tag: async (imageId) => {
      const { images } = session.surroundings.store;
      refuseOtherDigest([storedName], (await images.get(imageId))?.digest);
      await images.addNames(imageId, [storedName]);
    },
  };
}

/** True for a transport other than local storage. */
function isElsewhere(name: string): boolean {
  const transport = /^([a-z-]+):/.exec(name)?.[1];
  if (transport === undefined || transport === 'containers-storage') return false;
  return (
    (TRANSPORTS as readonly string[]).includes(transport) &&
    (transport !== 'docker' || name.startsWith('docker://'))
  );
}

function withoutStoreTransport(name: string): string {
  return name.replace(/^containers-storage:(\[[^\]]*\])?/, '');
}

/** A name as local storage keeps it: `app` is `localhost/app:latest`. @throws BuildError `bad-argument` */
export function storageName(name: string): string {
  try {
    const qualified = isShortName(name) ? `localhost/${name}` : name;
    return formatReference(withDefaultTag(parseReference(qualified)));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'invalid reference format';
    throw new BuildError('bad-argument', `tag ${name}: ${why}`, { cause });
  }
}

/** Refuses names that no image can get, before anything is built. @throws BuildError `bad-argument` */
export function checkNames(names: readonly string[]): void {
  const [first = '', ...more] = names;
  const foreign = first !== '' && !isElsewhere(first) ? more.find(isElsewhere) : undefined;
  if (foreign !== undefined)
    throw new BuildError('bad-argument', `normalizing name "${foreign}": invalid reference format`, {
      hint: 'name another place with the first --tag, alone',
    });
  for (const [at, name] of names.entries()) {
    if (name === '' || isElsewhere(name)) continue;
    const { digest } = parseReference(storageName(withoutStoreTransport(name)));
    if (at > 0 && digest !== undefined)
      throw new BuildError('bad-argument', `${name}: tag by digest not supported`);
  }
}
