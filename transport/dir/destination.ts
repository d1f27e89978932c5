import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectories } from '../../config/make-directories.ts';
import { isSystemError } from '../../errors.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { formatSignatureBlob } from '../../image/signature.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { replaceFile, stageBlob } from '../blob-file.ts';
import type { ImageDestination, PutBlobOptions, StoredSignature, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { blobName, checkVersion, isFormatName, manifestName, signatureName, versionText } from './files.ts';
import type { DirectoryReference } from './reference.ts';

const STAGING = '.partial';

/**
 * Makes the directory where needed. An image that is there stays readable until {@link ImageDestination.commit}
 * switches `manifest.json`, and goes then; blobs that an interrupted copy left are used again.
 * @throws TransportError `exists` for a directory that holds something else
 */
export async function openDirectoryDestination(
  reference: DirectoryReference,
  context: TransportContext,
): Promise<ImageDestination> {
  const { path } = reference;
  const made = makeDirectories(path, 0o755);
  await refuseForeignContent(path);
  await mkdir(join(path, STAGING), { recursive: true });
  return new DirectoryDestination(reference, context, made);
}

async function refuseForeignContent(path: string): Promise<void> {
  const names = await readdir(path);
  if (names.length === 0 || names.includes(STAGING)) return;
  const version = await readFile(join(path, 'version'), 'utf8').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (version === undefined || !version.startsWith('Directory Transport Version: '))
    throw new TransportError(
      'exists',
      `${path}: not a containers image directory, don't want to overwrite important data`,
      { hint: 'give a new or empty directory', facts: { path } },
    );
  checkVersion(version, path);
}

class DirectoryDestination implements ImageDestination {
  readonly reference: DirectoryReference;
  readonly manifestTypes: readonly string[] = [];
  readonly acceptsIndexes = true;
  readonly layerCompression: ImageDestination['layerCompression'];
  readonly acceptsForeignLayers = false;
  readonly signatureKinds = ['simple', 'sigstore'] as const;
  readonly #staging: string;
  /** Final names of everything that belongs to the image being written. */
  readonly #written = new Set<string>(['version', 'manifest.json']);
  /** Documents to rename at commit, in order; `manifest.json` comes last. */
  readonly #pending = new Map<string, string>();
  /** True where the directory was not there before. */
  readonly #made: boolean;
  #otherDigests = false;
  #committed = false;

  constructor(reference: DirectoryReference, context: TransportContext, made: boolean) {
    this.reference = reference;
    this.#made = made;
    this.layerCompression = context.directoryLayerCompression ?? 'preserve';
    this.#staging = join(reference.path, STAGING);
  }

  async tryReuseBlob(descriptor: Descriptor) {
    const path = this.#path(blobName(descriptor.digest));
    const found = await stat(path).catch((error: unknown) => {
      if (isSystemError(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (!found?.isFile() || (descriptor.size >= 0 && found.size !== descriptor.size)) return undefined;
    this.#note(descriptor.digest);
    return { descriptor: { ...descriptor, size: found.size }, how: 'present' as const };
  }

  async putBlob(
    blob: BlobStream,
    descriptor: { readonly digest?: Digest; readonly size?: number },
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const staged = await stageBlob(this.#staging, 'blob', blob, descriptor, options);
    await staged.place(this.#path(blobName(staged.digest)));
    this.#note(staged.digest);
    return { digest: staged.digest, size: staged.size };
  }

  async putManifest(bytes: Uint8Array, _mediaType: string, instance?: Digest): Promise<void> {
    if (instance) this.#noteAlgorithm(instance);
    await this.#stage(manifestName(instance), bytes);
  }

  async putSignatures(signatures: readonly StoredSignature[], instance?: Digest): Promise<void> {
    for (const [index, signature] of signatures.entries())
      await this.#stage(signatureName(index + 1, instance), formatSignatureBlob(signature));
  }

  async commit(): Promise<void> {
    const names = [...this.#pending.keys()].filter((name) => name !== 'manifest.json');
    for (const name of names) await this.#publish(name);
    await replaceFile(this.#path('version'), Buffer.from(versionText(this.#otherDigests)));
    if (this.#pending.has('manifest.json')) await this.#publish('manifest.json');
    this.#committed = true;
    for (const name of await readdir(this.reference.path))
      if (isFormatName(name) && !this.#written.has(name)) await rm(this.#path(name), { force: true });
    await rm(this.#staging, { recursive: true, force: true });
  }

  /** Without commit the blobs stay for a later try; an empty attempt leaves no trace. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#committed) return;
    for (const name of await readdir(this.#staging).catch((): string[] => []))
      await rm(join(this.#staging, name), { force: true });
    const names = await readdir(this.reference.path).catch((): string[] => []);
    // Without a version file the staging directory is what marks the blobs as ours.
    if (names.length === 1 || names.includes('version'))
      await rm(this.#staging, { recursive: true, force: true });
    if (names.length === 1 && this.#made) await rmdir(this.reference.path).catch(() => {});
  }

  #path(name: string): string {
    return join(this.reference.path, name);
  }

  #note(digest: Digest): void {
    this.#noteAlgorithm(digest);
    this.#written.add(blobName(digest));
  }

  #noteAlgorithm(digest: Digest): void {
    if (!digest.startsWith('sha256:')) this.#otherDigests = true;
  }

  async #stage(name: string, bytes: Uint8Array): Promise<void> {
    const temporary = join(this.#staging, `document-${randomBytes(8).toString('hex')}`);
    await writeFile(temporary, bytes, { mode: 0o644, flag: 'wx', flush: true });
    this.#pending.set(name, temporary);
    this.#written.add(name);
  }

  async #publish(name: string): Promise<void> {
    await rename(this.#pending.get(name) as string, this.#path(name));
  }
}
