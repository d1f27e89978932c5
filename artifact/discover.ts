import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { Platform } from '../image/platform.ts';
import {
  type ImageReference,
  listsReferrers,
  type ReferrerLister,
  type TransportContext,
} from '../transport/contract.ts';
import { ArtifactError } from './error.ts';
import { fetchManifest } from './manifest.ts';

/** A manifest and what refers to it. */
export interface ReferrerNode {
  readonly descriptor: Descriptor;
  readonly referrers: readonly ReferrerNode[];
}

const LIMIT_DEPTH = 32;

/**
 * The referrers of what `reference` names, as `oras discover`; with `depth` above one also theirs. Cycles end.
 * @throws ArtifactError `unsupported` for a transport that knows no referrers
 */
export async function discoverReferrers(
  reference: ImageReference,
  context: TransportContext,
  options: {
    readonly artifactType?: string;
    readonly depth?: number;
    /** Of an index, what refers to the manifest for this platform. */
    readonly platform?: Platform;
    readonly signal?: AbortSignal;
  } = {},
): Promise<ReferrerNode> {
  const { descriptor } = await fetchManifest(reference, context, options.platform);
  await using source = await reference.openSource(context);
  if (!listsReferrers(source))
    throw new ArtifactError('unsupported', `${reference.transport}: does not list referrers`);
  const depth = Math.min(options.depth ?? 1, LIMIT_DEPTH);
  return await walk(source, descriptor, depth, new Set(), options);
}

async function walk(
  lister: ReferrerLister,
  descriptor: Descriptor,
  depth: number,
  seen: ReadonlySet<Digest>,
  options: { readonly artifactType?: string; readonly signal?: AbortSignal },
): Promise<ReferrerNode> {
  if (depth === 0 || seen.has(descriptor.digest)) return { descriptor, referrers: [] };
  const found = await lister.listReferrers(descriptor.digest, options);
  const nodes: ReferrerNode[] = [];
  for (const child of found)
    nodes.push(await walk(lister, child, depth - 1, new Set([...seen, descriptor.digest]), options));
  return { descriptor, referrers: nodes };
}
