import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import type { Digest } from '../../image/digest.ts';
import { isJsonObject, parseJsonObject } from '../../image/json.ts';
import { TransportError } from '../error.ts';

const CIPHER = 'AES_256_CTR_HMAC_SHA256';

/** What ocicrypt keeps beside a layer: the secret part is wrapped for each recipient, the public one stands open. */
export interface LayerSecrets {
  readonly key: Buffer;
  readonly nonce: Buffer;
}

/** AES-256-CTR, then HMAC-SHA-256 over the ciphertext with the same key: ocicrypt's only layer cipher. */
export class LayerEncryption extends Transform {
  readonly secrets: LayerSecrets = { key: randomBytes(32), nonce: randomBytes(16) };
  readonly #cipher = createCipheriv('aes-256-ctr', this.secrets.key, this.secrets.nonce);
  readonly #mac = createHmac('sha256', this.secrets.key);
  #sum: Buffer | undefined;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const encrypted = this.#cipher.update(chunk);
    this.#mac.update(encrypted);
    done(null, encrypted);
  }

  override _flush(done: TransformCallback): void {
    this.#sum = this.#mac.digest();
    done(null, this.#cipher.final());
  }

  /** The public options, known at the end of the stream. */
  publicOptions(): Buffer {
    if (!this.#sum) throw new Error('the layer is not encrypted yet');
    return Buffer.from(
      JSON.stringify({ cipher: CIPHER, hmac: this.#sum.toString('base64'), cipheroptions: {} }),
    );
  }
}

/** The secret options as they are wrapped for recipients. */
export function secretOptions({ key, nonce }: LayerSecrets, layer: Digest): Buffer {
  return Buffer.from(
    JSON.stringify({
      symkey: key.toString('base64'),
      digest: layer,
      cipheroptions: { nonce: nonce.toString('base64') },
    }),
  );
}

/** @throws TransportError `unsupported`, `bad-layout` for malformed options */
export function readSecretOptions(bytes: Uint8Array): LayerSecrets {
  const json = parseJsonObject(bytes, { what: 'layer decryption options' });
  const options = isJsonObject(json.cipheroptions) ? json.cipheroptions : {};
  const key = Buffer.from(String(json.symkey ?? ''), 'base64');
  const nonce = Buffer.from(String(options.nonce ?? ''), 'base64');
  if (key.length !== 32 || nonce.length !== 16)
    throw new TransportError('bad-layout', `invalid key length of ${key.length} bytes; need 32 bytes`);
  return { key, nonce };
}

/** The authentication code of the public options. */
export function readMac(bytes: Uint8Array): Buffer {
  const json = parseJsonObject(bytes, { what: 'layer encryption options' });
  if (json.cipher !== CIPHER)
    throw new TransportError('unsupported', `unsupported cipher type: ${JSON.stringify(json.cipher)}`);
  const mac = Buffer.from(String(json.hmac ?? ''), 'base64');
  if (mac.length !== 32)
    throw new TransportError('bad-layout', 'HMAC is not provided for decryption process');
  return mac;
}

/** Decrypts, and fails before its end unless the ciphertext is the one that was encrypted. */
export class LayerDecryption extends Transform {
  readonly #decipher: ReturnType<typeof createDecipheriv>;
  readonly #mac: ReturnType<typeof createHmac>;
  readonly #expected: Buffer;

  constructor({ key, nonce }: LayerSecrets, mac: Buffer) {
    super();
    this.#decipher = createDecipheriv('aes-256-ctr', key, nonce);
    this.#mac = createHmac('sha256', key);
    this.#expected = mac;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#mac.update(chunk);
    done(null, this.#decipher.update(chunk));
  }

  override _flush(done: TransformCallback): void {
    if (timingSafeEqual(this.#mac.digest(), this.#expected)) done(null, this.#decipher.final());
    else
      done(
        new TransportError(
          'digest-mismatch',
          'could not properly decrypt byte stream: its HMAC does not match',
        ),
      );
  }
}
