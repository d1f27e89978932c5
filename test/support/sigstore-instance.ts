// A whole sigstore instance in a test: a certificate authority, a Rekor 2 log, a time stamping authority, and the bundles
// that a client of it makes.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Digest } from '../../image/digest.ts';
import type { JsonObject } from '../../image/json.ts';
import { canonicalJson } from '../../sign/sigstore/canonical-json.ts';
import { keyDer } from '../../sign/sigstore/public-key.ts';
import { TIME_STAMPING, timestampResponse } from './timestamp.ts';
import { type CertificateOptions, makeCertificate, type TestCertificate } from './x509.ts';

export const STATEMENT_TYPE = 'application/vnd.in-toto+json';
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

export interface BundleOptions {
  readonly kind?: 'hashedrekord' | 'dsse';
  /** Absent: by a certificate of the instance. */
  readonly key?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly leaf?: Partial<CertificateOptions>;
  /** When the authority stamps it; `none`: no timestamp. */
  readonly stampedMs?: number | 'none';
  readonly stamps?: (signature: Uint8Array) => readonly Uint8Array[];
  /** Edits the log's entry before it is taken in. */
  readonly entry?: (body: JsonObject) => JsonObject;
  /** Edits the finished bundle. */
  readonly bundle?: (bundle: JsonObject) => JsonObject;
}

export class SigstoreInstance {
  readonly nowMs: number;
  readonly log = generateKeyPairSync('ed25519');
  readonly root: TestCertificate;
  readonly middle: TestCertificate;
  readonly tsaRoot: TestCertificate;
  readonly tsa: TestCertificate;

  constructor(nowMs: number) {
    const year = 365 * 86_400_000;
    const window = { from: nowMs - year, to: nowMs + year };
    const make = (options: CertificateOptions) => makeCertificate(nowMs, { ...window, ...options });
    this.nowMs = nowMs;
    this.root = make({ name: 'root', authority: true });
    this.middle = make({ name: 'middle', issuer: this.root, authority: true });
    this.tsaRoot = make({ name: 'tsa root', authority: true });
    this.tsa = make({ name: 'tsa', issuer: this.tsaRoot, purposes: [TIME_STAMPING], purposesCritical: true });
  }

  /** The `trusted_root.json` of the instance. */
  trustedRoot(change: (root: JsonObject) => JsonObject = (same) => same): Buffer {
    const chain = (...certificates: TestCertificate[]) => ({
      certificates: certificates.map(({ der }) => ({ rawBytes: base64(der) })),
    });
    const validFor = { start: new Date(this.nowMs - 86_400_000).toISOString() };
    const root: JsonObject = {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [
        {
          baseUrl: 'https://log.example',
          hashAlgorithm: 'SHA2_256',
          publicKey: { rawBytes: base64(keyDer(this.log.publicKey)), keyDetails: 'PKIX_ED25519', validFor },
          logId: { keyId: base64(this.#keyId()) },
        },
      ],
      certificateAuthorities: [{ uri: 'https://ca', certChain: chain(this.middle, this.root), validFor }],
      timestampAuthorities: [{ uri: 'https://tsa', certChain: chain(this.tsa, this.tsaRoot), validFor }],
    };
    return Buffer.from(JSON.stringify(change(root)));
  }

  /** A bundle over a manifest, as Cosign 3 makes one by default. */
  bundle(manifest: Digest, options: BundleOptions = {}): Buffer {
    const leaf = options.key
      ? undefined
      : makeCertificate(this.nowMs, {
          name: 'leaf',
          issuer: this.middle,
          from: this.nowMs - 600_000,
          to: this.nowMs + 600_000,
          emails: ['dev@example.com'],
          issuerV2: 'https://issuer.example',
          ...options.leaf,
        });
    const payload = Buffer.from(
      JSON.stringify({
        _type: 'https://in-toto.io/Statement/v1',
        subject: [{ digest: { sha256: manifest.slice(7) } }],
        predicateType: 'https://sigstore.dev/cosign/sign/v1',
        predicate: {},
      }),
    );
    const signed = Buffer.concat([
      Buffer.from(`DSSEv1 ${STATEMENT_TYPE.length} ${STATEMENT_TYPE} ${payload.length} `),
      payload,
    ]);
    const signature = sign('sha256', signed, (leaf?.secret ?? options.key?.privateKey) as KeyObject);
    const verifier: JsonObject = leaf
      ? { x509Certificate: { rawBytes: base64(leaf.der) } }
      : { publicKey: { rawBytes: base64(keyDer(options.key?.publicKey as KeyObject)) } };
    const body = entryBody(options.kind ?? 'hashedrekord', { signature, signed, payload, verifier });
    const bundle: JsonObject = {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: {
        ...(leaf ? { certificate: { rawBytes: base64(leaf.der) } } : { publicKey: { hint: 'x' } }),
        tlogEntries: [this.#logged(options.entry?.(body) ?? body)],
        ...this.#stamps(signature, options),
      },
      dsseEnvelope: {
        payload: base64(payload),
        payloadType: STATEMENT_TYPE,
        signatures: [{ sig: base64(signature) }],
      },
    };
    return Buffer.from(JSON.stringify(options.bundle?.(bundle) ?? bundle));
  }

  #stamps(signature: Uint8Array, { stampedMs = this.nowMs, stamps }: BundleOptions): JsonObject {
    if (stampedMs === 'none' && !stamps) return {};
    const responses = stamps?.(signature) ?? [
      timestampResponse(this.tsa, signature, { atMs: stampedMs as number }),
    ];
    return {
      timestampVerificationData: {
        rfc3161Timestamps: responses.map((response) => ({ signedTimestamp: base64(response) })),
      },
    };
  }

  /** C2SP signed-note: the first octets of a hash over name, kind and key. */
  #keyId(): Buffer {
    const key = Buffer.from(keyDer(this.log.publicKey)).subarray(-32);
    return sha256(Buffer.from('log.example\n'), Buffer.from([1]), key).subarray(0, 4);
  }

  /** The entry as the second of two leaves. */
  #logged(body: JsonObject): JsonObject {
    const bytes = Buffer.from(canonicalJson(body));
    const sibling = sha256(Buffer.from([0]), Buffer.from('first'));
    const root = sha256(Buffer.from([1]), sibling, sha256(Buffer.from([0]), bytes));
    const note = `log.example\n2\n${base64(root)}\n`;
    const line = base64(Buffer.concat([this.#keyId(), sign(null, Buffer.from(note), this.log.privateKey)]));
    const witness = base64(Buffer.alloc(76));
    return {
      logIndex: '1',
      logId: { keyId: base64(this.#keyId()) },
      kindVersion: { kind: body.kind as string, version: body.apiVersion as string },
      integratedTime: '0',
      inclusionProof: {
        logIndex: '1',
        treeSize: '2',
        rootHash: base64(root),
        hashes: [base64(sibling)],
        checkpoint: { envelope: `${note}\n\u2014 witness.example ${witness}\n\u2014 log.example ${line}\n` },
      },
      canonicalizedBody: base64(bytes),
    };
  }
}

function entryBody(
  kind: 'hashedrekord' | 'dsse',
  parts: { signature: Uint8Array; signed: Uint8Array; payload: Uint8Array; verifier: JsonObject },
): JsonObject {
  const signature = {
    content: base64(parts.signature),
    verifier: { keyDetails: 'PKIX_ECDSA_P256_SHA_256', ...parts.verifier },
  };
  const hash = (bytes: Uint8Array) => ({ algorithm: 'SHA2_256', digest: base64(sha256(bytes)) });
  const spec: JsonObject =
    kind === 'hashedrekord'
      ? { hashedRekordV002: { data: hash(parts.signed), signature } }
      : { dsseV002: { payloadHash: hash(parts.payload), signatures: [signature] } };
  return { apiVersion: '0.0.2', kind, spec };
}
