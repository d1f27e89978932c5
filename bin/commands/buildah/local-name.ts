import { isShortName } from '../../../config/short-names.ts';
import { type NamedReference, parseReference, withDefaultTag } from '../../../image/reference.ts';
import { usage } from './arguments.ts';

/** A name for a local image: a short one lives below `localhost/`, `latest` is added, a digest is refused. */
export function localName(text: string): NamedReference {
  if (text.startsWith('sha256:')) throw usage(`${text}: tag by digest not supported`);
  const reference = parseReference(isShortName(text) ? `localhost/${text}` : text);
  if (reference.digest !== undefined) throw usage(`${text}: tag by digest not supported`);
  return withDefaultTag(reference);
}
