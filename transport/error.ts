import { SlipwayError } from '../errors.ts';

export type TransportErrorCode =
  | 'bad-reference'
  | 'unknown-transport'
  | 'not-found'
  | 'unauthorized'
  | 'denied'
  | 'registry'
  | 'network'
  | 'timeout'
  | 'rate-limited'
  | 'insecure-redirect'
  | 'blocked'
  | 'bad-archive'
  | 'bad-layout'
  | 'digest-mismatch'
  | 'size-mismatch'
  | 'unsupported'
  | 'exists'
  | 'rejected-by-policy'
  | 'signing'
  | 'bad-option';

/** Everything that goes wrong between two places that hold images. */
export class TransportError extends SlipwayError<TransportErrorCode> {}
