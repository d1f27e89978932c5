import { SlipwayError } from '../errors.ts';

export type ImageErrorCode =
  | 'bad-digest'
  | 'unsupported-digest'
  | 'bad-reference'
  | 'bad-platform'
  | 'bad-json'
  | 'bad-manifest'
  | 'ambiguous-manifest'
  | 'bad-config'
  | 'bad-signature'
  | 'too-large'
  | 'no-matching-platform'
  | 'unsupported-conversion';

/** A value that is malformed, or a conversion that the formats do not allow. */
export class ImageError extends SlipwayError<ImageErrorCode> {}
