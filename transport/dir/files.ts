import { join } from 'node:path';
import { type Digest, encodedOf, parseDigest } from '../../image/digest.ts';
import { TransportError } from '../error.ts';

const PREFIX = 'Directory Transport Version: ';

/** File names of the `dir:` format; digests are checked again, since they become parts of paths. */
export function blobName(digest: Digest): string {
  parseDigest(digest);
  return digest.startsWith('sha256:') ? encodedOf(digest) : digest.replace(':', '-');
}

export function manifestName(instance?: Digest): string {
  return instance === undefined ? 'manifest.json' : `${blobName(instance)}.manifest.json`;
}

/** @param index from 1 */
export function signatureName(index: number, instance?: Digest): string {
  return instance === undefined ? `signature-${index}` : `${blobName(instance)}.signature-${index}`;
}

/** True for a name that this format writes. */
export function isFormatName(name: string): boolean {
  return (
    name === 'version' ||
    name === 'manifest.json' ||
    /^signature-\d+$/.test(name) ||
    /^(?:[0-9a-f]{64}|sha\d+-[0-9a-f]+)(?:\.manifest\.json|\.signature-\d+)?$/.test(name)
  );
}

export function versionText(usesOtherDigests: boolean): string {
  return `${PREFIX}1.${usesOtherDigests ? 2 : 1}\n`;
}

/**
 * Checks the content of the `version` file.
 * @throws TransportError `bad-layout` for a malformed or newer version
 */
export function checkVersion(text: string, directory: string): void {
  const match = /^Directory Transport Version: (\d+)\.(\d+)\n$/.exec(text);
  if (!match)
    throw new TransportError(
      'bad-layout',
      `invalid version file content: ${JSON.stringify(text.slice(0, 80))}`,
      {
        facts: { path: join(directory, 'version') },
      },
    );
  const [major, minor] = [Number(match[1]), Number(match[2])];
  if (major > 1 || (major === 1 && minor > 2))
    throw new TransportError(
      'bad-layout',
      `unsupported directory transport version ${JSON.stringify(text)} at ${directory}`,
    );
}
