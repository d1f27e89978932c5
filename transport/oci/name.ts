import { type Digest, tryParseDigest } from '../../image/digest.ts';
import { TransportError } from '../error.ts';

/** What stands behind the path of `oci:` and `oci-archive:`. */
export interface LayoutSelector {
  /** `org.opencontainers.image.ref.name`; empty: none given. */
  readonly name: string;
  /** Zero-based position in index.json (`:@3`). */
  readonly position?: number;
  /** `:@sha256:…`, which containers/image does not have. */
  readonly digest?: Digest;
}

/**
 * Splits `path[:name|:@position|:@digest]` (containers/image, oci/internal).
 * @throws TransportError `bad-reference`
 */
export function parseLayoutReference(text: string): {
  readonly path: string;
  readonly selector: LayoutSelector;
} {
  const windows = /^([a-zA-Z]:\\[^:]+)(?::(.*))?$/s.exec(text);
  const colon = text.indexOf(':');
  const path = windows ? (windows[1] as string) : colon < 0 ? text : text.slice(0, colon);
  const image = windows ? (windows[2] ?? '') : colon < 0 ? '' : text.slice(colon + 1);
  if (path === '')
    throw new TransportError('bad-reference', `Invalid OCI reference ${JSON.stringify(text)}: no path`);
  return { path, selector: parseSelector(image) };
}

function parseSelector(image: string): LayoutSelector {
  if (!image.startsWith('@')) {
    if (image !== '' && !isLayoutName(image))
      throw new TransportError('bad-reference', `Invalid image ${image}`);
    return { name: image };
  }
  const digest = tryParseDigest(image.slice(1));
  if (digest) return { name: '', digest };
  if (!/^[+-]?\d{1,15}$/.test(image.slice(1)))
    throw new TransportError('bad-reference', `Invalid source index ${image}: not an integer`);
  const position = Number(image.slice(1));
  if (position < 0)
    throw new TransportError('bad-reference', `Invalid source index ${image}: must not be negative`);
  return { name: '', position };
}

const LETTERS = /^[A-Za-z0-9]+$/;

/** The grammar of OCI's ref.name annotation: letters and digits joined by `-._:@+/` or `--`. */
export function isLayoutName(name: string): boolean {
  return name
    .split('/')
    .every((component) => component.split(/--|[-._:@+]/).every((part) => LETTERS.test(part)));
}

export function formatSelector(selector: LayoutSelector): string {
  if (selector.position !== undefined) return `@${selector.position}`;
  return selector.digest === undefined ? selector.name : `@${selector.digest}`;
}
