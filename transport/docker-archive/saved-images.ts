import { createReadStream } from 'node:fs';
import { parseImageConfig } from '../../image/config.ts';
import { type Digest, digestOf, encodedOf } from '../../image/digest.ts';
import { goJson } from '../../image/go-json.ts';
import { type JsonObject, parseJsonObject } from '../../image/json.ts';
import type { ImageManifest } from '../../image/manifest.ts';
import { type NamedReference, repositoryOf } from '../../image/reference.ts';
import type { TarWriter } from '../archive/tar-writer.ts';

/** A blob that waits in a file until its place in the archive is known. */
export interface WaitingBlob {
  readonly path: string;
  readonly size: number;
}

/**
 * Writes images in the format of `docker save`: `<diffID>.tar` layers, `<config>.json`, one directory with VERSION,
 * json and a linked layer.tar for each layer (the format before Docker 1.10), manifest.json and repositories.
 */
export class SavedImages {
  readonly #tar: TarWriter;
  readonly #written = new Set<string>();
  readonly #items: { Config: string; RepoTags: string[]; Layers: string[] }[] = [];
  readonly #repositories = new Map<string, Map<string, string>>();

  constructor(tar: TarWriter) {
    this.#tar = tar;
  }

  has(digest: Digest): boolean {
    return this.#written.has(layerName(digest));
  }

  /** @param blob finds the bytes of a layer that is not in the archive yet */
  async add(
    manifest: ImageManifest,
    config: Uint8Array,
    tags: readonly NamedReference[],
    blob: (digest: Digest) => WaitingBlob,
  ): Promise<void> {
    for (const { digest } of manifest.layers) await this.#layer(digest, blob);
    const configName = `${encodedOf(manifest.config.digest)}.json`;
    if (!this.#written.has(configName)) await this.#tar.writeBytes(configName, config);
    this.#written.add(configName);
    const top = await this.#legacy(manifest, config);
    const names = tags.map((tag) => `${repositoryOf(tag)}:${tag.tag}`);
    if (top !== undefined)
      for (const tag of tags) {
        const repository = this.#repositories.get(repositoryOf(tag)) ?? new Map<string, string>();
        this.#repositories.set(repositoryOf(tag), repository.set(tag.tag as string, top));
      }
    const same = this.#items.find((item) => item.Config === configName);
    if (same) same.RepoTags = [...new Set([...same.RepoTags, ...names])];
    else
      this.#items.push({
        Config: configName,
        RepoTags: [...new Set(names)],
        Layers: manifest.layers.map(({ digest }) => layerName(digest)),
      });
  }

  /** Writes the lists of images and ends the archive. */
  async end(): Promise<void> {
    await this.#tar.writeBytes('manifest.json', goJson(this.#items));
    await this.#tar.writeBytes('repositories', goJson(this.#repositories));
    await this.#tar.end();
  }

  async #layer(digest: Digest, blob: (digest: Digest) => WaitingBlob): Promise<void> {
    const name = layerName(digest);
    if (this.#written.has(name)) return;
    const { path, size } = blob(digest);
    await this.#tar.writeFile(name, size, createReadStream(path, { highWaterMark: 1 << 20 }));
    this.#written.add(name);
  }

  /** The directories of the old format; gives the id of the top one. */
  async #legacy(manifest: ImageManifest, config: Uint8Array): Promise<string | undefined> {
    let chainId: string | undefined;
    let parent: string | undefined;
    for (const [index, { digest }] of manifest.layers.entries()) {
      chainId = chainId === undefined ? digest : digestOf(`${chainId} ${digest}`);
      const own = new Map<string, unknown>(parent === undefined ? [] : [['parent', parent]]);
      if (index === manifest.layers.length - 1)
        for (const [key, value] of topConfig(config)) own.set(key, value);
      const id = encodedOf(digestOf(goJson(new Map(own).set('layer_id', chainId))));
      await this.#legacyDirectory(id, digest, goJson(own.set('id', id)));
      parent = id;
    }
    return parent;
  }

  async #legacyDirectory(id: string, digest: Digest, json: Uint8Array): Promise<void> {
    if (this.#written.has(id)) return;
    this.#written.add(id);
    await this.#tar.writeSymlink(`${id}/layer.tar`, `../${layerName(digest)}`);
    await this.#tar.writeBytes(`${id}/VERSION`, Buffer.from('1.0'));
    await this.#tar.writeBytes(`${id}/json`, json);
  }
}

const TOP_KEYS = [
  'architecture',
  'config',
  'container',
  'container_config',
  'created',
  'docker_version',
  'os',
];

/** The part of the config that the old format's top directory repeats; Go writes null for what is missing. */
function topConfig(config: Uint8Array): [string, unknown][] {
  parseImageConfig(config);
  const json: JsonObject = parseJsonObject(config, { what: 'image config' });
  return TOP_KEYS.map((key) => [key, json[key] ?? null]);
}

function layerName(digest: Digest): string {
  return `${encodedOf(digest)}.tar`;
}
