import { tryParseDigest } from '../image/digest.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../image/json.ts';
import { type Platform, parsePlatform } from '../image/platform.ts';
import { withSelector } from '../image/reference.ts';
import type { ImageReference, TransportContext } from './contract.ts';
import { DockerReference } from './docker/reference.ts';
import { TransportError } from './error.ts';
import { parseImageReference } from './references.ts';
import type { SyncItem, SyncPlan } from './sync-plan.ts';
import { contextFor } from './sync-sources.ts';

const LIMIT_BYTES = 256 * 1024 * 1024;

/**
 * A plan that {@link planToJson} wrote, perhaps on another machine. Images of registries are taken by the digest that
 * was planned, so that a tag that moved since changes nothing.
 * @throws TransportError `bad-option` for a malformed plan, or one with failures
 */
export async function readPlan(
  bytes: Uint8Array,
  source: TransportContext,
  workingDirectory: string,
): Promise<SyncPlan> {
  const json = parseJsonObject(bytes, { what: 'plan', limitBytes: LIMIT_BYTES });
  if (json.version !== 1) throw bad(`version ${JSON.stringify(json.version)} is unknown`);
  if (!Array.isArray(json.items) || !Array.isArray(json.prunes)) throw bad('it has no items or prunes');
  const items: SyncItem[] = [];
  const contexts = new Map<string, TransportContext>();
  for (const entry of json.items) items.push(await readItem(entry, source, workingDirectory, contexts));
  const prunes = await Promise.all(json.prunes.map((text) => readPrune(text, workingDirectory)));
  return { items, prunes, failures: [], requests: 0 };
}

async function readItem(
  value: JsonValue,
  context: TransportContext,
  workingDirectory: string,
  contexts: Map<string, TransportContext>,
): Promise<SyncItem> {
  const entry: JsonObject = isJsonObject(value) ? value : {};
  const { action, digest, bytes } = entry;
  if (action !== 'create' && action !== 'move' && action !== 'unchanged')
    throw bad(`unknown action ${JSON.stringify(action)}`);
  const known = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  const reference = await parseImageReference(String(entry.source), { workingDirectory });
  const destination = await parseImageReference(String(entry.destination), { workingDirectory });
  return {
    action,
    destination,
    source: {
      reference: pinned(reference, known),
      context: reach(entry.access, context, contexts),
      suffix: '',
      ...readPlatforms(entry.platforms, context),
    },
    ...(known ? { digest: known } : {}),
    ...(typeof bytes === 'number' ? { bytes } : {}),
  };
}

/** One context for all images of a registry, so that they share connections. */
function reach(
  value: JsonValue | undefined,
  base: TransportContext,
  contexts: Map<string, TransportContext>,
): TransportContext {
  if (value === undefined) return base;
  const { tlsVerify, certificateDirectory } = isJsonObject(value) ? value : {};
  const access = {
    ...(typeof tlsVerify === 'boolean' ? { tlsVerify } : {}),
    ...(typeof certificateDirectory === 'string' ? { certificateDirectory } : {}),
  };
  const key = JSON.stringify(access);
  const context = contexts.get(key) ?? contextFor(access, base);
  contexts.set(key, context);
  return context;
}

function readPlatforms(
  value: JsonValue | undefined,
  { platform }: TransportContext,
): { readonly platforms?: readonly Platform[] } {
  if (value === undefined) return {};
  if (!Array.isArray(value) || value.length === 0) throw bad('platforms is not a list');
  return { platforms: value.map((text) => parsePlatform(String(text), platform)) };
}

function pinned(reference: ImageReference, digest: ReturnType<typeof tryParseDigest>): ImageReference {
  if (reference.transport !== 'docker' || !reference.named || !digest) return reference;
  return DockerReference.of(withSelector(reference.named, { digest }));
}

async function readPrune(value: JsonValue, workingDirectory: string) {
  const { named } = await parseImageReference(String(value), { workingDirectory });
  if (!named) throw bad(`${JSON.stringify(value)} is no tag of a registry`);
  return named;
}

function bad(why: string): TransportError {
  return new TransportError('bad-option', `invalid sync plan: ${why}`);
}
