// X.509 certificates for tests, made with nothing but node:crypto: an authority and what it signs.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface TestCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly subject: Buffer;
  readonly privateKey: KeyObject;
}

function der(tag: number, ...parts: readonly (Buffer | number[])[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: readonly (Buffer | number[])[]) => der(0x30, ...parts);
const oid = (...bytes: number[]) => der(0x06, bytes);
const ECDSA_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, [...Buffer.from(commonName)]))));
}

function time(date: Date): Buffer {
  const text = `${date.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`;
  return der(0x18, [...Buffer.from(text)]);
}

function extension(id: number, value: Buffer, critical = false): Buffer {
  return sequence(oid(0x55, 0x1d, id), ...(critical ? [der(0x01, [0xff])] : []), der(0x04, value));
}

function alternativeNames(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) =>
    isIPv4(host) ? der(0x87, host.split('.').map(Number)) : der(0x82, [...Buffer.from(host)]),
  );
  return extension(0x11, sequence(...names));
}

/**
 * Makes a certificate, valid from a day ago for ten years.
 * @param signer absent: signed by itself, an authority
 */
export function makeCertificate(
  commonName: string,
  hosts: readonly string[] = [],
  signer?: TestCertificate,
): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = nameOf(commonName);
  const day = 86_400_000;
  const extensions = sequence(
    extension(0x13, signer ? sequence() : sequence(der(0x01, [0xff])), true),
    ...(hosts.length ? [alternativeNames(hosts)] : []),
  );
  const body = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, [1 + Math.floor(Math.random() * 100), Math.floor(Math.random() * 256)]),
    ECDSA_SHA256,
    signer?.subject ?? subject,
    sequence(time(new Date(Date.now() - day)), time(new Date(Date.now() + 3650 * day))),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  );
  const signature = sign('sha256', body, signer?.privateKey ?? privateKey);
  const whole = sequence(body, ECDSA_SHA256, der(0x03, [0], signature));
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${whole
      .toString('base64')
      .match(/.{1,64}/g)!
      .join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    subject,
    privateKey,
  };
}
