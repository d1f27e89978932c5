import { createHash, type KeyObject } from 'node:crypto';
import { invalid } from '../error.ts';
import { verifyBlob } from './public-key.ts';
import type { Validity } from './validity.ts';

/** A key that a log signs with. */
export interface LogKey extends Validity {
  readonly key: KeyObject;
}

/** Where an entry stands in a log: RFC 9162 section 2.1.3. */
export interface InclusionProof {
  readonly index: number;
  readonly treeSize: number;
  readonly rootHash: Uint8Array;
  readonly hashes: readonly Uint8Array[];
  /** The signed note with the tree's size and root. */
  readonly checkpoint: string;
}

/**
 * Checks that `entry` is in the tree of a checkpoint that one of the log's keys signed.
 * @throws SignError `invalid-signature`
 */
export function verifyInclusion(
  entry: Uint8Array,
  proof: InclusionProof,
  logKeys: readonly KeyObject[],
): void {
  const root = rootFromPath(entry, proof);
  if (!root.equals(proof.rootHash)) throw invalid('the inclusion proof leads to another root hash');
  const checkpoint = readCheckpoint(proof.checkpoint, logKeys);
  if (checkpoint.size !== proof.treeSize || !root.equals(checkpoint.root))
    throw invalid('the inclusion proof and the signed checkpoint disagree');
}

/** RFC 9162 section 2.1.3.2. */
function rootFromPath(entry: Uint8Array, { index, treeSize, hashes }: InclusionProof): Buffer {
  const counts = [index, treeSize].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!counts || index >= treeSize) throw invalid('the inclusion proof has an index outside of its tree');
  let node = BigInt(index);
  let last = BigInt(treeSize - 1);
  let hash = sha256(Uint8Array.of(0), entry);
  for (const sibling of hashes) {
    if (last === 0n) throw invalid('the inclusion proof is too long');
    if ((node & 1n) === 1n || node === last) {
      hash = sha256(Uint8Array.of(1), sibling, hash);
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n;
        last >>= 1n;
      }
    } else hash = sha256(Uint8Array.of(1), hash, sibling);
    node >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw invalid('the inclusion proof is too short');
  return hash;
}

/** A signed note (C2SP signed-note): origin, size, root, a blank line, then signature lines. */
function readCheckpoint(note: string, logKeys: readonly KeyObject[]): { size: number; root: Buffer } {
  const end = note.indexOf('\n\n');
  if (end < 0) throw invalid('malformed checkpoint');
  const body = note.slice(0, end + 1);
  const [, size = '', root = ''] = body.split('\n');
  if (!/^[0-9]{1,15}$/.test(size)) throw invalid('malformed checkpoint');
  const signatures = note
    .slice(end + 2)
    .split('\n')
    .flatMap((line) => /^\u2014 [^ ]+ ([A-Za-z0-9+/=]+)$/.exec(line)?.[1] ?? [])
    // Four octets in front name the key; every known key is tried instead.
    .map((text) => Buffer.from(text, 'base64').subarray(4));
  const bytes = Buffer.from(body);
  if (!signatures.some((signature) => logKeys.some((key) => verifyBlob(key, bytes, signature))))
    throw invalid('no key of the log signed the checkpoint');
  return { size: Number(size), root: Buffer.from(root, 'base64') };
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
