import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { ImageError } from '../../image/error.ts';
import { parseJsonObject } from '../../image/json.ts';
import { SignError } from '../error.ts';
import { callService, type ServiceAccess } from './http.ts';
import type { SigstoreIdentity } from './identity.ts';
import { formatPem, readPem } from './pem.ts';
import { signBlob } from './private-key.ts';
import { keyDer } from './public-key.ts';

/**
 * A short-lived key with a Fulcio certificate for the person an OpenID Connect ID token names (Fulcio API v1).
 * @throws SignError `signing`, `bad-parameters`
 */
export async function requestCertificate(
  fulcioUrl: URL,
  idToken: string,
  access: ServiceAccess,
): Promise<SigstoreIdentity> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  const proof = signBlob(privateKey, Buffer.from(subjectOf(idToken)));
  const url = new URL(`${fulcioUrl.pathname.replace(/\/$/, '')}/api/v1/signingCert`, fulcioUrl);
  const answer = await callService(
    'Fulcio',
    url,
    {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/pem-certificate-chain',
        authorization: `Bearer ${idToken}`,
      },
      body: JSON.stringify({
        publicKey: { content: Buffer.from(keyDer(publicKey)).toString('base64'), algorithm: 'ecdsa' },
        signedEmailAddress: Buffer.from(proof).toString('base64'),
      }),
    },
    access,
  );
  if (answer.status !== 201)
    throw new SignError(
      'signing',
      `obtaining certificate from Fulcio: it answered with status ${answer.status}`,
    );
  const [leaf, ...chain] = readPem(answer.body).map(({ label, der }) => formatPem(label, der));
  if (!leaf) throw new SignError('signing', 'Fulcio answered without a certificate');
  return { privateKey, certificate: leaf, chain: chain.join('') };
}

/** The part of the token that Fulcio wants signed: the verified email where there is one, else the subject. */
function subjectOf(idToken: string): string {
  const claims = idToken.split('.')[1];
  try {
    if (claims === undefined) throw new SignError('bad-parameters', 'parsing OIDC token: not a JWT');
    const {
      email,
      email_verified: verified,
      sub,
    } = parseJsonObject(Buffer.from(claims, 'base64url'), { what: 'OIDC token' });
    if (typeof email === 'string' && email !== '' && verified === true) return email;
    if (typeof sub === 'string' && sub !== '') return sub;
    throw new SignError('bad-parameters', 'parsing OIDC token: it names neither an email nor a subject');
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new SignError('bad-parameters', 'parsing OIDC token: malformed claims', { cause });
  }
}
