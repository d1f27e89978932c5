import { createHash } from 'node:crypto';
import { type ImageConfig, parseImageConfig, type RuntimeConfig } from './config.ts';
import { type Digest, digestOf, encodedOf, parseDigest } from './digest.ts';
import { ImageError } from './error.ts';
import { goJson, goJsonText, nonEmpty } from './go-json.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from './json.ts';
import type { ImageManifest, Schema1Manifest } from './manifest.ts';
import { MEDIA_TYPE } from './media-type.ts';

/** A gzipped tar of nothing: what schema 1 needs for steps that change no file. */
export const EMPTY_LAYER = Buffer.from(
  '1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000',
  'hex',
);
export const EMPTY_LAYER_DIGEST = parseDigest(
  'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4',
);

/** One layer of a schema 1 image with what its history says. */
export interface Schema1Layer {
  readonly digest: Digest;
  /** It changes no file (`throwaway`). */
  readonly empty: boolean;
  readonly history: JsonObject;
  /** The text that {@link history} was read from. */
  readonly v1Compatibility: string;
}

/**
 * The layers, base first, after the checks of docker/docker's pull: well-formed ids that name their parents; repeated
 * ids are dropped.
 * @throws ImageError `bad-manifest`, `bad-json`
 */
export function schema1Layers(manifest: Schema1Manifest): Schema1Layer[] {
  const entries = manifest.history.map(({ v1Compatibility }, index) => ({
    digest: manifest.fsLayers[index]?.blobSum as Digest,
    v1Compatibility,
    history: parseJsonObject(v1Compatibility, { what: `v2s1 history entry ${index}` }),
  }));
  if (entries.length === 0) throw bad('no FSLayers in manifest');
  for (const { history } of entries)
    if (typeof history.id !== 'string' || !/^[a-f0-9]{64}$/.test(history.id))
      throw bad(`image ID ${JSON.stringify(history.id)} is invalid`);
  if (entries.at(-1)?.history.parent) throw bad('Invalid parent ID in the base layer of the image');
  refuseRepeatedIds(entries.map(({ history }) => history.id as string));
  const kept = entries.filter(({ history }, index) => history.id !== entries[index + 1]?.history.id);
  for (const [index, { history }] of kept.slice(0, -1).entries()) {
    const parent = kept[index + 1]?.history.id;
    if (history.parent !== parent)
      throw bad(`Invalid parent ID. Expected ${parent}, got ${JSON.stringify(history.parent ?? '')}`);
  }
  return kept.toReversed().map((entry) => ({ ...entry, empty: entry.history.throwaway === true }));
}

function refuseRepeatedIds(ids: readonly string[]): void {
  const seen = new Set<string>();
  for (const [index, id] of ids.entries()) {
    if (id !== ids[index - 1] && seen.has(id)) throw bad(`ID ${id} appears multiple times in manifest`);
    seen.add(id);
  }
}

/** A layer of the copied image, in the order of {@link schema1Layers}. */
export interface UploadedLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
}

/** A schema 1 image as Docker schema 2, with a config made of its history. */
export function schema1ToDocker(
  manifest: Schema1Manifest,
  uploaded: readonly UploadedLayer[],
): { readonly manifest: ImageManifest; readonly config: Uint8Array } {
  const layers = schema1Layers(manifest);
  const real = uploaded.filter((_, index) => !layers[index]?.empty);
  const config = schema2Config(
    layers,
    real.map(({ diffId }) => diffId),
  );
  return {
    config,
    manifest: {
      kind: 'image',
      format: 'docker',
      mediaType: MEDIA_TYPE.dockerManifest,
      config: { mediaType: MEDIA_TYPE.dockerConfig, digest: digestOf(config), size: config.length },
      layers: real.map(({ digest, size }) => ({ mediaType: MEDIA_TYPE.dockerLayerGzip, digest, size })),
    },
  };
}

const DROPPED = ['id', 'parent', 'parent_id', 'layer_id', 'throwaway', 'Size'];

function schema2Config(layers: readonly Schema1Layer[], diffIds: readonly Digest[]): Uint8Array {
  const top = layers.at(-1)?.history as JsonObject;
  const kept = Object.entries(top).filter(([key]) => !DROPPED.includes(key));
  const history = layers.map(({ history: entry, empty }) => ({
    created: entry.created ?? '0001-01-01T00:00:00Z',
    author: nonEmpty(typeof entry.author === 'string' ? entry.author : undefined),
    created_by: nonEmpty(createdBy(entry)),
    comment: nonEmpty(typeof entry.comment === 'string' ? entry.comment : undefined),
    empty_layer: empty || undefined,
  }));
  return goJson(
    new Map<string, unknown>([
      ...kept,
      ['rootfs', { type: 'layers', diff_ids: diffIds }],
      ['history', history],
    ]),
  );
}

function createdBy(entry: JsonObject): string {
  const config = entry.container_config;
  const command = isJsonObject(config) ? config.Cmd : undefined;
  return Array.isArray(command) ? command.map(String).join(' ') : '';
}

/** What a config document of a schema 1 image would be: for reading only, its diffIDs are unknown. */
export function schema1Config(manifest: Schema1Manifest): ImageConfig {
  return parseImageConfig(schema1ConfigBytes(manifest, []));
}

/** The config that a schema 1 image has with these plain digests of its layers that are not empty, base first. */
export function schema1ConfigBytes(manifest: Schema1Manifest, diffIds: readonly Digest[]): Uint8Array {
  return schema2Config(schema1Layers(manifest), diffIds);
}

/**
 * A Docker schema 2 image as an unsigned schema 1 manifest. Steps without a layer name {@link EMPTY_LAYER}, which the
 * destination must have where `needsEmptyLayer` is set.
 * @throws ImageError `unsupported-conversion` for a config without history or with too little of it
 */
export function dockerToSchema1(
  manifest: ImageManifest,
  config: Uint8Array,
  name: { readonly path: string; readonly tag: string },
): { readonly document: Schema1Document; readonly needsEmptyLayer: boolean } {
  const image = parseImageConfig(config);
  const history = image.history ?? [];
  if (history.length === 0)
    throw unsupported(`Cannot convert an image with 0 history entries to ${MEDIA_TYPE.dockerSchema1Signed}`);
  const fsLayers: { blobSum: Digest }[] = [];
  const compatibility: { v1Compatibility: string }[] = [];
  let next = 0;
  let id = '';
  let parent = '';
  for (const entry of history) {
    parent = id;
    const digest = entry.empty_layer ? EMPTY_LAYER_DIGEST : manifest.layers[next++]?.digest;
    if (digest === undefined)
      throw unsupported(
        `Invalid image configuration, needs more than the ${manifest.layers.length} distributed layers`,
      );
    id = v1Id(digest, parent);
    fsLayers.unshift({ blobSum: digest });
    compatibility.unshift({ v1Compatibility: goJsonText(fakeImage(entry, id, parent)) });
  }
  const top = fsLayers[0] as { blobSum: Digest };
  const lastIsEmpty = history.at(-1)?.empty_layer === true;
  compatibility[0] = {
    v1Compatibility: topCompatibility(
      config,
      v1Id(top.blobSum, parent, Buffer.from(config).toString()),
      parent,
      lastIsEmpty,
    ),
  };
  return {
    document: {
      name: name.path,
      tag: name.tag,
      architecture: image.architecture,
      fsLayers,
      history: compatibility,
    },
    needsEmptyLayer: history.some((entry) => entry.empty_layer),
  };
}

/** The fields of a schema 1 manifest before it is signed. */
export interface Schema1Document {
  readonly name: string;
  readonly tag: string;
  readonly architecture: string;
  readonly fsLayers: readonly { readonly blobSum: Digest }[];
  readonly history: readonly { readonly v1Compatibility: string }[];
}

type HistoryOf = NonNullable<ImageConfig['history']>[number];

function fakeImage(entry: HistoryOf, id: string, parent: string): object {
  const command: RuntimeConfig['Cmd'] = [entry.created_by ?? ''];
  return {
    id,
    parent: nonEmpty(parent),
    comment: nonEmpty(entry.comment),
    created: entry.created ?? '0001-01-01T00:00:00Z',
    container_config: { Cmd: command },
    author: nonEmpty(entry.author),
    throwaway: entry.empty_layer || undefined,
  };
}

function v1Id(digest: Digest, ...others: string[]): string {
  return createHash('sha256')
    .update([encodedOf(digest), ...others].join(' '))
    .digest('hex');
}

function topCompatibility(config: Uint8Array, id: string, parent: string, throwaway: boolean): string {
  const json = parseJsonObject(config, { what: 'image config' });
  const kept = Object.entries(json).filter(([key]) => key !== 'rootfs' && key !== 'history');
  const fields = new Map<string, unknown>(kept).set('id', id);
  if (parent !== '') fields.set('parent', parent);
  if (throwaway) fields.set('throwaway', true);
  return goJsonText(fields);
}

function bad(why: string): ImageError {
  return new ImageError('bad-manifest', `invalid schema 1 manifest: ${why}`);
}

function unsupported(why: string): ImageError {
  return new ImageError('unsupported-conversion', why);
}
