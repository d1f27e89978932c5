import type { Digest } from '../../image/digest.ts';
import { parseReference } from '../../image/reference.ts';
import { BuildError } from '../error.ts';

/**
 * A name with a digest is for the image whose manifest has that digest, and for no other.
 * @throws BuildError `bad-argument`
 */
export function refuseOtherDigest(names: readonly string[], digest: Digest | undefined): void {
  for (const name of names) {
    const named = parseReference(name).digest;
    if (named === undefined || named === digest) continue;
    throw new BuildError(
      'bad-argument',
      "Digest of source image's manifest would not match destination reference",
      { hint: `the image is ${digest}, not ${named}: name it by a tag` },
    );
  }
}
