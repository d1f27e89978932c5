import { SlipwayError } from '../errors.ts';

export type ArtifactErrorCode =
  | 'bad-file'
  | 'exists'
  | 'unsafe-path'
  | 'not-an-artifact'
  | 'bad-annotation'
  | 'unsupported';

/** Everything that goes wrong between files and artifacts. */
export class ArtifactError extends SlipwayError<ArtifactErrorCode> {}
