import { SlipwayError } from '../errors.ts';

export type SignErrorCode =
  /** The policy refuses the image; the message says which requirement and why. */
  | 'rejected'
  /** A signature, payload, certificate or log entry that proves nothing. */
  | 'invalid-signature'
  /** Key or certificate material that cannot be read or must not be used. */
  | 'bad-key'
  | 'no-such-key'
  | 'bad-passphrase'
  | 'bad-parameters'
  /** An external signer (gpg, Fulcio, Rekor) failed. */
  | 'signing'
  | 'unsupported';

/** Everything that goes wrong while signing, verifying, or asking a policy. */
export class SignError extends SlipwayError<SignErrorCode> {}

/** The commonest case: what was read proves nothing. */
export function invalid(message: string, cause?: unknown): SignError {
  return new SignError('invalid-signature', message, { cause });
}

/** Text of a hostile document for a message: one line, no control characters, bounded. */
export function printable(text: string): string {
  return JSON.stringify(text.slice(0, 300)).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
