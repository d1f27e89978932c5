import { createHash, type Hash } from 'node:crypto';
import { ImageError } from './error.ts';

/** A digest whose grammar was checked: `algorithm:hex`, OCI image-spec v1.1 descriptor.md. */
export type Digest = string & { readonly __digest: true };

const HEX_LENGTH = { sha256: 64, sha384: 96, sha512: 128 } as const;
export type DigestAlgorithm = keyof typeof HEX_LENGTH;

const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/**
 * Checks the grammar of a digest and, for sha256, sha384 and sha512, its lower-case hex and length.
 * A well-formed digest of an unknown algorithm passes: it can be named, but {@link algorithmOf} refuses to verify it.
 * @throws ImageError `bad-digest`
 */
export function parseDigest(text: string): Digest {
  const flaw = flawOf(text);
  if (flaw !== undefined) throw new ImageError('bad-digest', `invalid digest ${quoted(text)}: ${flaw}`);
  return text as Digest;
}

/** The digest, or undefined where the text is none. */
export function tryParseDigest(text: string): Digest | undefined {
  return flawOf(text) === undefined ? (text as Digest) : undefined;
}

function flawOf(text: string): string | undefined {
  if (typeof text !== 'string' || text.length > 512 || !GRAMMAR.test(text))
    return 'not of the form algorithm:hex';
  const colon = text.indexOf(':');
  const length = HEX_LENGTH[text.slice(0, colon) as DigestAlgorithm];
  if (length === undefined) return undefined;
  const hex = text.slice(colon + 1);
  if (hex.length !== length) return `needs ${length} hexadecimal digits, has ${hex.length}`;
  return /^[0-9a-f]+$/.test(hex) ? undefined : 'not lower-case hexadecimal';
}

/** True where {@link algorithmOf} knows the algorithm, so that content can be checked. */
export function hasKnownAlgorithm(digest: Digest): boolean {
  return Object.hasOwn(HEX_LENGTH, digest.slice(0, digest.indexOf(':')));
}

/** @throws ImageError `unsupported-digest` for an algorithm that cannot be computed here. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  const name = digest.slice(0, digest.indexOf(':'));
  if (!hasKnownAlgorithm(digest)) {
    throw new ImageError(
      'unsupported-digest',
      `unsupported digest algorithm ${quoted(name)} in ${quoted(digest)}`,
    );
  }
  return name as DigestAlgorithm;
}

/** The part behind the colon. */
export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** A running hash of the given algorithm, whose result {@link finishDigest} turns into a digest. */
export function startDigest(algorithm: DigestAlgorithm = 'sha256'): Hash {
  return createHash(algorithm);
}

export function finishDigest(hash: Hash, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}

let sha256: ((bytes: Uint8Array) => Buffer) | undefined;

/** From now on {@link digestOf} computes SHA-256 with this: whoever has another at hand spares it loading node:crypto. */
export function setSha256(compute: (bytes: Uint8Array) => Buffer): void {
  sha256 = compute;
}

export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  if (algorithm === 'sha256' && sha256) {
    const hash = sha256(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    return `sha256:${hash.toString('hex')}` as Digest;
  }
  return finishDigest(createHash(algorithm).update(bytes), algorithm);
}

function quoted(text: unknown): string {
  return JSON.stringify(String(text).slice(0, 200));
}
