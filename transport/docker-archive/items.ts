import { ImageError } from '../../image/error.ts';
import { isJsonObject, type JsonValue, parseJson } from '../../image/json.ts';
import { formatReference, type NamedReference, parseReference } from '../../image/reference.ts';
import type { ArchiveMembers } from '../archive/members.ts';
import { TransportError } from '../error.ts';

/** One image of an archive's manifest.json. */
export interface ArchiveItem {
  readonly config: string;
  readonly repoTags: readonly string[];
  readonly layers: readonly string[];
}

/** As containers/image caps manifest.json. */
const LIMIT_BYTES = 1024 * 1024;

/** @throws TransportError `bad-archive`, `not-found` without a manifest.json */
export async function readItems(members: ArchiveMembers): Promise<ArchiveItem[]> {
  const bytes = await members.readDocument('manifest.json', LIMIT_BYTES);
  let json: JsonValue;
  try {
    json = parseJson(bytes, { what: 'manifest.json', limitBytes: LIMIT_BYTES });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new TransportError(
      'bad-archive',
      `decoding tar manifest.json of ${members.path}: ${cause.message}`,
      {
        cause,
      },
    );
  }
  if (!Array.isArray(json)) throw bad(members, 'manifest.json is not an array');
  return json.map((item) => {
    if (!isJsonObject(item) || typeof item.Config !== 'string')
      throw bad(members, 'an item of manifest.json has no Config');
    return {
      config: item.Config,
      repoTags: strings(members, item.RepoTags, 'RepoTags'),
      layers: strings(members, item.Layers, 'Layers'),
    };
  });
}

/**
 * The image that a name or a position means; without either the archive must hold one image.
 * @throws TransportError `not-found`, `bad-archive` for malformed tags
 */
export function chooseItem(
  items: readonly ArchiveItem[],
  selector: { readonly named?: NamedReference; readonly position?: number },
): ArchiveItem {
  if (selector.named) {
    const wanted = formatReference(selector.named);
    const found = items.find((item, at) => item.repoTags.some((tag) => normalized(tag, at) === wanted));
    if (found) return found;
    throw new TransportError('not-found', `Tag ${JSON.stringify(wanted)} not found`, {
      hint: `the archive has ${items.flatMap(({ repoTags }) => repoTags).join(', ') || 'no tags'}`,
    });
  }
  const item = items[selector.position ?? 0];
  if (selector.position !== undefined && item === undefined)
    throw new TransportError(
      'not-found',
      `Invalid source index @${selector.position}, only ${items.length} manifest items available`,
    );
  if (item === undefined || (selector.position === undefined && items.length !== 1))
    throw new TransportError(
      'bad-reference',
      `Unexpected tar manifest.json: expected 1 item, got ${items.length}`,
      { hint: 'choose one by its tag, or by its position as in docker-archive:path:@0' },
    );
  return item;
}

function normalized(tag: string, at: number): string {
  try {
    return formatReference(parseReference(tag));
  } catch (cause) {
    throw new TransportError(
      'bad-archive',
      `Invalid tag ${JSON.stringify(tag)} in manifest.json item @${at}`,
      { cause },
    );
  }
}

function strings(members: ArchiveMembers, value: JsonValue | undefined, key: string): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string'))
    throw bad(members, `${key} in manifest.json is not an array of strings`);
  return value as string[];
}

function bad(members: ArchiveMembers, why: string): TransportError {
  return new TransportError('bad-archive', `${members.path}: ${why}`);
}
