import { parseImageConfig } from '../../image/config.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { type Manifest, manifestDigest, matchesManifestDigest, parseManifest } from '../../image/manifest.ts';
import { formatPlatform } from '../../image/platform.ts';
import { type ImageReference, type ImageSource, listsReferrers, type TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { readSmallBlob } from './image.ts';

/** One node of what a reference leads to. */
export interface ContentNode {
  readonly role: 'index' | 'manifest' | 'config' | 'layer' | 'referrer';
  readonly descriptor: Descriptor;
  /** The platform of a manifest, the command that made a layer, the type of a referrer. */
  readonly note?: string;
  readonly children: readonly ContentNode[];
}

const LIMIT_DEPTH = 8;

/**
 * Index, platforms, manifests, configs, layers and referrers of a reference as a tree. Reads documents only, no layer.
 * @throws TransportError `digest-mismatch`, `unsupported`
 */
export async function describeContent(
  reference: ImageReference,
  context: TransportContext,
): Promise<ContentNode> {
  await using source = await reference.openSource(context);
  const { bytes, mediaType } = await source.getManifest();
  const manifest = parseManifest(bytes, mediaType);
  const descriptor = { mediaType: manifest.mediaType, digest: manifestDigest(bytes), size: bytes.length };
  return await new Walk(source, context).describe(manifest, descriptor, undefined, 0);
}

class Walk {
  readonly #source: ImageSource;
  readonly #signal: AbortSignal | undefined;
  readonly #seen = new Set<Digest>();

  constructor(source: ImageSource, context: TransportContext) {
    this.#source = source;
    this.#signal = context.signal;
  }

  async describe(
    manifest: Manifest,
    descriptor: Descriptor,
    note: string | undefined,
    depth: number,
  ): Promise<ContentNode> {
    if (depth > LIMIT_DEPTH)
      throw new TransportError(
        'unsupported',
        `content nests deeper than ${LIMIT_DEPTH} levels at ${descriptor.digest}`,
      );
    this.#seen.add(descriptor.digest);
    const children: ContentNode[] = [];
    if (manifest.kind === 'index')
      for (const child of manifest.manifests) children.push(await this.#child(child, depth));
    if (manifest.kind === 'image') children.push(...(await this.#parts(manifest)));
    children.push(...(await this.#referrers(descriptor.digest, depth)));
    return {
      role: manifest.kind === 'index' ? 'index' : 'manifest',
      descriptor,
      ...(note ? { note } : {}),
      children,
    };
  }

  async #child(child: Descriptor, depth: number, role?: 'referrer'): Promise<ContentNode> {
    const note = role
      ? (child.artifactType ?? child.mediaType)
      : child.platform
        ? formatPlatform(child.platform)
        : undefined;
    if (this.#seen.has(child.digest))
      return { role: role ?? 'manifest', descriptor: child, ...(note ? { note } : {}), children: [] };
    const document = await this.#source.getManifest(child.digest);
    if (!matchesManifestDigest(document.bytes, child.digest))
      throw new TransportError('digest-mismatch', `the manifest named ${child.digest} has other bytes`);
    const node = await this.describe(
      parseManifest(document.bytes, document.mediaType || child.mediaType),
      child,
      note,
      depth + 1,
    );
    return role ? { ...node, role } : node;
  }

  async #parts(manifest: Extract<Manifest, { kind: 'image' }>): Promise<ContentNode[]> {
    const commands = await this.#commands(manifest);
    const config: ContentNode = { role: 'config', descriptor: manifest.config, children: [] };
    return [
      config,
      ...manifest.layers.map(
        (layer, at): ContentNode => ({
          role: 'layer',
          descriptor: layer,
          ...(commands[at] ? { note: commands[at] } : {}),
          children: [],
        }),
      ),
    ];
  }

  /** The history entries that made layers; artifacts have none. */
  async #commands(manifest: Extract<Manifest, { kind: 'image' }>): Promise<readonly (string | undefined)[]> {
    if (!/\.(config|container\.image)\.v1\+json$/.test(manifest.config.mediaType))
      return manifest.layers.map((layer) => layer.annotations?.['org.opencontainers.image.title']);
    const config = parseImageConfig(
      await readSmallBlob(this.#source, manifest.config, 4 * 1024 * 1024, this.#signal),
    );
    return (config.history ?? []).filter((entry) => !entry.empty_layer).map((entry) => entry.created_by);
  }

  async #referrers(subject: Digest, depth: number): Promise<ContentNode[]> {
    if (!listsReferrers(this.#source)) return [];
    const found = await this.#source.listReferrers(subject, { signal: this.#signal });
    const nodes: ContentNode[] = [];
    for (const descriptor of found) nodes.push(await this.#child(descriptor, depth, 'referrer'));
    return nodes;
  }
}
