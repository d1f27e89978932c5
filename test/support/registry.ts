// A real registry on loopback in a temporary directory, with a fault injector in front.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { type Registry, type RegistryOptions, startRegistry } from '../../registry/server.ts';
import { FaultInjector } from './faults.ts';

export interface TestRegistry extends Registry {
  readonly directory: string;
  readonly faults: FaultInjector;
}

/** Starts a registry; disposing it removes its directory too (unless one was given). */
export async function startTestRegistry(options: Partial<RegistryOptions> = {}): Promise<TestRegistry> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'slipway-registry-')));
  const faults = new FaultInjector();
  const registry = await startRegistry({
    durable: false,
    intercept: faults.intercept,
    ...options,
    directory,
  });
  const dispose = async () => {
    await registry.close();
    if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
  };
  return { ...registry, directory, faults, close: dispose, [Symbol.asyncDispose]: dispose };
}

/** Puts a blob by plain HTTP, so that tests of the client do not need it. */
export async function seedBlob(
  registry: Registry,
  repository: string,
  bytes: Uint8Array | string,
): Promise<Digest> {
  const digest = digestOf(bytes);
  const response = await fetch(`${registry.url}/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    body: Buffer.from(bytes as string),
  });
  if (response.status !== 201) throw new Error(`seeding a blob: ${response.status} ${await response.text()}`);
  return digest;
}

export async function seedManifest(
  registry: Registry,
  repository: string,
  selector: string,
  manifest: object | string,
  mediaType: string = MEDIA_TYPE.ociManifest,
): Promise<{ readonly digest: Digest; readonly bytes: Buffer }> {
  const bytes = Buffer.from(typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  const response = await fetch(`${registry.url}/v2/${repository}/manifests/${selector}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: bytes,
  });
  if (response.status !== 201)
    throw new Error(`seeding a manifest: ${response.status} ${await response.text()}`);
  return { digest: digestOf(bytes), bytes };
}

/** A small OCI image of the given layer contents (any bytes) under a tag. */
export async function seedImage(
  registry: Registry,
  repository: string,
  tag: string,
  layers: readonly (Uint8Array | string)[] = ['layer one', 'layer two'],
  layerType: string = MEDIA_TYPE.ociLayer,
): Promise<{ readonly digest: Digest; readonly layers: readonly Descriptor[]; readonly config: Descriptor }> {
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
  });
  const describe = async (mediaType: string, bytes: Uint8Array | string): Promise<Descriptor> => ({
    mediaType,
    digest: await seedBlob(registry, repository, bytes),
    size: Buffer.byteLength(bytes as string),
  });
  const configDescriptor = await describe(MEDIA_TYPE.ociConfig, config);
  const descriptors: Descriptor[] = [];
  for (const layer of layers) descriptors.push(await describe(layerType, layer));
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: configDescriptor,
    layers: descriptors,
  };
  const { digest } = await seedManifest(registry, repository, tag, manifest);
  return { digest, layers: descriptors, config: configDescriptor };
}
