import { SlipwayError } from '../errors.ts';

export type RegistryErrorCode = 'bad-option' | 'address-in-use' | 'bad-directory';

/** The registry cannot start. */
export class RegistryError extends SlipwayError<RegistryErrorCode> {}

/** Codes of OCI distribution-spec 1.1, "Error Codes", with the HTTP status that this registry answers with. */
const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  UNKNOWN: 500,
} as const;

export type ProtocolErrorCode = keyof typeof STATUS;

/** What a handler throws to answer a request with an error document. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProtocolErrorCode,
    message: string,
    options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.code = code;
    this.status = options.status ?? STATUS[code];
    this.headers = options.headers ?? {};
  }

  /** The body of the answer. */
  toJSON(): object {
    return { errors: [{ code: this.code, message: this.message, detail: null }] };
  }
}
