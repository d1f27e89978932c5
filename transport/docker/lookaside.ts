import { constants } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isSystemError } from '../../errors.ts';
import { algorithmOf, type Digest, encodedOf } from '../../image/digest.ts';
import type { NamedReference } from '../../image/reference.ts';
import {
  formatSignatureBlob,
  parseSignatureBlob,
  SIGNATURE_LIMIT_BYTES,
  SIGNATURE_LIMIT_COUNT,
  type SignatureBlob,
} from '../../image/signature.ts';
import { TransportError } from '../error.ts';

/**
 * Signatures beside a registry: containers/image docs/signature-protocols.md, "separate storage".
 *
 * How a docker source or destination uses this:
 * 1. `storage = await readSignatureStorage(...)` from config/registries-d.ts, once;
 * 2. `base = lookasideBase(lookasideFor(storage, reference, 'read') ?? defaultLookaside(...), reference.named)`;
 * 3. `readLookaside(base, manifestDigest, { fetch, signal })`, or with a base for `'write'`
 *    `writeLookaside(base, manifestDigest, signatures)`;
 * 4. `usesSigstoreAttachments(storage, reference)` says whether the `.sig` tag is looked at as well.
 */
export interface LookasideAccess {
  /**
   * GETs a URL of another server than the registry, so without the registry's credentials. Must stop reading at
   * `limitBytes` with an error. Only asked for http and https.
   */
  readonly fetch: (
    url: URL,
    options: { readonly limitBytes: number; readonly signal?: AbortSignal },
  ) => Promise<{ readonly status: number; readonly body: Uint8Array }>;
  readonly signal?: AbortSignal;
}

/** The signature store of one repository: the configured URL with the repository's path behind it. */
export function lookasideBase(configured: string, name: NamedReference): URL {
  let url: URL;
  try {
    url = new URL(configured);
  } catch (cause) {
    throw new TransportError('bad-option', `Invalid signature storage URL ${configured}`, { cause });
  }
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${name.path}`;
  return url;
}

/** `BASE@sha256=HEX/signature-N`, N from 1. */
export function lookasideUrl(base: URL, manifest: Digest, index: number): URL {
  const url = new URL(base.href);
  url.pathname += `@${algorithmOf(manifest)}=${encodedOf(manifest)}/signature-${index}`;
  return url;
}

/**
 * Every signature of a manifest, in order, until one is missing (404, or no such file). Any other failure is an
 * error: a store that cannot be asked must not look like an unsigned image.
 * @throws TransportError `registry`, `unsupported`; ImageError `bad-signature`, `too-large`
 */
export async function readLookaside(
  base: URL,
  manifest: Digest,
  access: LookasideAccess,
): Promise<SignatureBlob[]> {
  const signatures: SignatureBlob[] = [];
  for (let index = 1; ; index += 1) {
    if (index > SIGNATURE_LIMIT_COUNT) {
      throw new TransportError(
        'registry',
        `server provided ${SIGNATURE_LIMIT_COUNT} signatures, assuming that's unreasonable and a server error`,
      );
    }
    access.signal?.throwIfAborted();
    const blob = await readOne(lookasideUrl(base, manifest, index), access);
    if (blob === undefined) return signatures;
    signatures.push(parseSignatureBlob(blob));
  }
}

/**
 * Makes `signatures` the manifest's only ones: writes them and removes what stood behind them. Only `file:` stores
 * can be written.
 * @throws TransportError `unsupported`
 */
export async function writeLookaside(
  base: URL,
  manifest: Digest,
  signatures: readonly SignatureBlob[],
): Promise<void> {
  if (base.protocol !== 'file:') {
    throw new TransportError(
      'unsupported',
      `Writing directly to a ${base.protocol.slice(0, -1)} lookaside ${redacted(base)} is not supported. Configure a lookaside-staging: location`,
    );
  }
  for (const [position, signature] of signatures.entries()) {
    const path = fileURLToPath(lookasideUrl(base, manifest, position + 1));
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await publish(path, formatSignatureBlob(signature));
  }
  for (let index = signatures.length + 1; index <= SIGNATURE_LIMIT_COUNT; index += 1) {
    try {
      await rm(fileURLToPath(lookasideUrl(base, manifest, index)));
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return;
      throw error;
    }
  }
}

async function readOne(url: URL, access: LookasideAccess): Promise<Uint8Array | undefined> {
  if (url.protocol === 'file:') return readLocal(fileURLToPath(url));
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TransportError(
      'unsupported',
      `Unsupported scheme when reading signature from ${redacted(url)}`,
    );
  const { status, body } = await access.fetch(url, {
    limitBytes: SIGNATURE_LIMIT_BYTES,
    ...(access.signal && { signal: access.signal }),
  });
  if (status === 404) return undefined;
  if (status !== 200)
    throw new TransportError('registry', `reading signature from ${redacted(url)}: status code ${status}`, {
      facts: { status },
      retryable: status === 429 || status >= 500,
    });
  return body;
}

async function readLocal(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile() || found.size > SIGNATURE_LIMIT_BYTES)
      throw new TransportError(
        'registry',
        found.isFile()
          ? `signature ${path} of ${found.size} bytes exceeds the limit of ${SIGNATURE_LIMIT_BYTES} bytes`
          : `signature ${path} is not a regular file`,
      );
    return await file.readFile();
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function publish(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await using file = await open(temporary, 'w', 0o644);
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, path);
}

function redacted(url: URL): string {
  const copy = new URL(url.href);
  copy.username = '';
  copy.password = '';
  copy.search = '';
  return copy.href;
}
