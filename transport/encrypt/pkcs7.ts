import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import { TransportError } from '../error.ts';
import { childrenOf, type Element, encode, readElements } from './der.ts';

const SEQUENCE = 0x30;
const SET = 0x31;
/** The library of ocicrypt wraps the cipher's parameters once more, as a primitive, and reads nothing else. */
const WRAPPED_SEQUENCE = 0x10;
/** It marks the nonce as [4] where RFC 5084 has an octet string. */
const NONCE = 0x84;
const INTEGER = 0x02;
const OCTETS = 0x04;
const OID = {
  data: Buffer.from('06092a864886f70d010701', 'hex'),
  enveloped: Buffer.from('06092a864886f70d010703', 'hex'),
  rsa: Buffer.from('06092a864886f70d010101', 'hex'),
  aes128Gcm: Buffer.from('0609608648016503040106', 'hex'),
};
const TAG_BYTES = 16;

/** @throws TransportError `bad-option` */
export function readCertificate(bytes: Buffer, name: string): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch (cause) {
    throw new TransportError('bad-option', `${name}: File provided is not an x509 cert`, { cause });
  }
}

/** CMS EnvelopedData (RFC 5652) for RSA certificates, content encrypted with AES-128-GCM, as ocicrypt writes it. */
export function wrapPkcs7(secret: Uint8Array, recipients: readonly X509Certificate[]): Uint8Array {
  const key = randomBytes(16);
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-128-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  const parameters = encode(SEQUENCE, encode(NONCE, nonce), encode(INTEGER, Buffer.of(TAG_BYTES)));
  const content = encode(
    SEQUENCE,
    OID.data,
    encode(SEQUENCE, OID.aes128Gcm, encode(WRAPPED_SEQUENCE, parameters)),
    encode(0xa0, encode(OCTETS, sealed)),
  );
  const infos = recipients.map((certificate) => recipientInfo(certificate, key));
  const enveloped = encode(SEQUENCE, encode(INTEGER, Buffer.of(0)), encode(SET, ...infos), content);
  return encode(SEQUENCE, OID.enveloped, encode(0xa0, enveloped));
}

function recipientInfo(certificate: X509Certificate, key: Buffer): Buffer {
  const { issuer, serial } = nameOf(certificate);
  const encrypted = publicEncrypt({ key: certificate.publicKey, padding: constants.RSA_PKCS1_PADDING }, key);
  return encode(
    SEQUENCE,
    encode(INTEGER, Buffer.of(0)),
    encode(SEQUENCE, issuer, serial),
    encode(SEQUENCE, OID.rsa),
    encode(OCTETS, encrypted),
  );
}

/** Issuer and serial number as they stand in the certificate. */
function nameOf(certificate: X509Certificate): { readonly issuer: Buffer; readonly serial: Buffer } {
  const fields = childrenOf(childrenOf(readElements(certificate.raw)[0])[0]);
  const at = fields[0]?.tag === 0xa0 ? 1 : 0;
  const [serial, , issuer] = fields.slice(at);
  if (!serial || !issuer) throw new TransportError('bad-layout', 'malformed certificate');
  return { serial: serial.whole, issuer: issuer.whole };
}

/** The secret, or undefined where no certificate is a recipient or no key fits. */
export function unwrapPkcs7(
  wrapped: Uint8Array,
  keys: readonly KeyObject[],
  certificates: readonly X509Certificate[],
): Uint8Array | undefined {
  const info = childrenOf(readElements(Buffer.from(wrapped))[0]);
  const [, recipients, content] = childrenOf(childrenOf(info[1])[0]);
  const names = certificates.map(nameOf);
  for (const recipient of childrenOf(recipients)) {
    const [, name, , encrypted] = childrenOf(recipient);
    const [issuer, serial] = childrenOf(name);
    const known = names.some((own) => own.issuer.equals(issuer!.whole) && own.serial.equals(serial!.whole));
    if (!known || !encrypted) continue;
    for (const key of keys) {
      const opened = open(key, encrypted, content);
      if (opened) return opened;
    }
  }
  return undefined;
}

function open(key: KeyObject, encrypted: Element, content: Element | undefined): Uint8Array | undefined {
  const [, algorithm, body] = childrenOf(content);
  const [oid, parameters] = childrenOf(algorithm);
  if (!oid?.whole.equals(OID.aes128Gcm) || !body)
    throw new TransportError('unsupported', 'the wrapped key uses a cipher other than AES-128-GCM');
  const plain = parameters?.tag === WRAPPED_SEQUENCE ? childrenOf(parameters)[0] : parameters;
  const nonce = childrenOf(plain)[0]?.content ?? Buffer.alloc(0);
  const sealed =
    body.tag === 0xa0 ? Buffer.concat(childrenOf(body).map((part) => part.content)) : body.content;
  try {
    const secret = privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, encrypted.content);
    const decipher = createDecipheriv('aes-128-gcm', secret, nonce);
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch {
    // Another recipient's key: decryption gives noise of a wrong length, or the tag does not fit.
    return undefined;
  }
}
