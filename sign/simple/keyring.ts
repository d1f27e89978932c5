import { SignError } from '../error.ts';
import { isArmored, readArmor } from './armor.ts';
import { type Packet, readPackets, TAG } from './packets.ts';
import { type PublicKeyPacket, parsePublicKey } from './public-key.ts';
import { isMadeBy, parseSignature, SIGNATURE_TYPE, type SignaturePacket } from './signature-packet.ts';

/** One key of a certificate that may verify, with what the certificate's own signatures say about it. */
export interface VerificationKey {
  readonly packet: PublicKeyPacket;
  /** Of the certificate; equal to the packet's for a primary key. */
  readonly primaryFingerprint: string;
  readonly revoked: boolean;
  /** Seconds since the epoch; undefined: never. */
  readonly expires?: number;
  /** Why it must not verify signatures, where it must not. */
  readonly unusable?: string;
}

/** Public keys by what signatures name them with. */
export interface Keyring {
  readonly keys: readonly VerificationKey[];
  /** Primary fingerprints, in file order: containers/image's key identities. */
  readonly fingerprints: readonly string[];
  /** Self-certified user ids of all certificates, as `Name <mail@example.com>`. */
  readonly userIds: readonly string[];
}

/** Key files beyond this are refused. */
export const KEY_LIMIT_BYTES = 32 * 1024 * 1024;

/**
 * Reads OpenPGP certificates, binary or armored (several blocks too), and checks their self-signatures, so that only
 * what the primary key itself vouches for counts: RFC 9580 section 10.1, with GnuPG's rules for expiry and usage.
 *
 * The packets are read here and not by the openpgp library for three reasons: that library refuses version 3
 * signatures, which old lookaside stores hold; loading it costs more than a whole verification may; and the strict
 * grammar of message.ts needs the same reader.
 * @throws SignError `bad-key` for secret keys, other kinds of data, and files without any usable certificate
 */
export function readKeyring(blobs: readonly Uint8Array[]): Keyring {
  const certificates = mergeCopies(
    blobs.flatMap((blob) => certificatePackets(blob).flatMap(splitCertificates)),
  ).map(readCertificate);
  const keys = certificates.flatMap((certificate) => certificate.keys);
  return {
    keys,
    fingerprints: keys.filter(isPrimary).map((key) => key.primaryFingerprint),
    userIds: certificates.flatMap((certificate) => certificate.userIds),
  };
}

/** The keys a signature may mean: by fingerprint where it has one, and by key id. */
export function findKeys(ring: Keyring, signature: SignaturePacket): VerificationKey[] {
  const { issuerFingerprint, issuerKeyId } = signature;
  if (issuerFingerprint === undefined && issuerKeyId === undefined) return [];
  return ring.keys.filter(
    ({ packet }) =>
      (issuerFingerprint === undefined || packet.fingerprint === issuerFingerprint) &&
      (issuerKeyId === undefined || packet.keyId === issuerKeyId),
  );
}

function isPrimary(key: VerificationKey): boolean {
  return key.packet.fingerprint === key.primaryFingerprint;
}

function certificatePackets(blob: Uint8Array): Packet[][] {
  if (blob.length > KEY_LIMIT_BYTES) throw bad(`key file exceeds the limit of ${KEY_LIMIT_BYTES} bytes`);
  if (blob.length === 0) return [];
  const text = Buffer.from(blob.subarray(0, 4096)).toString('latin1');
  if (/-----BEGIN (?:PUBLIC KEY|CERTIFICATE|[A-Z ]*PRIVATE KEY)-----/.test(text))
    throw bad('PEM data where an OpenPGP public key is expected');
  if (!isArmored(blob)) return [packetsOf(blob)];
  return readArmor(blob).map(({ type, bytes }) => {
    if (type !== 'PUBLIC KEY BLOCK') throw bad(`PGP ${type} where a PGP PUBLIC KEY BLOCK is expected`);
    return packetsOf(bytes);
  });
}

function packetsOf(bytes: Uint8Array): Packet[] {
  try {
    return readPackets(bytes, 1_000_000);
  } catch (cause) {
    throw bad(`not a file of OpenPGP public keys: ${(cause as Error).message}`, cause);
  }
}

function splitCertificates(packets: readonly Packet[]): Packet[][] {
  const certificates: Packet[][] = [];
  for (const packet of packets) {
    if (packet.tag === TAG.secretKey || packet.tag === TAG.secretSubkey)
      throw bad('a secret key where a public key is expected');
    if (packet.tag === TAG.publicKey) certificates.push([packet]);
    else if (certificates.length > 0) certificates.at(-1)?.push(packet);
    else throw bad('not a file of OpenPGP public keys');
  }
  return certificates;
}

/** Copies of one certificate count as one, so that what a newer copy revokes stays revoked. */
function mergeCopies(certificates: readonly Packet[][]): Packet[][] {
  const byPrimary = Map.groupBy(certificates, ([primary]) =>
    Buffer.from(primary?.body ?? []).toString('base64'),
  );
  return [...byPrimary.values()].map((copies) => copies.flat());
}

/** A certificate's packets grouped: what the signatures stand behind. */
interface Component {
  readonly kind: 'primary' | 'user' | 'subkey';
  readonly packet: Packet;
  readonly signatures: SignaturePacket[];
}

/** A certificate of a version that is not supported, or one that does not vouch for itself, gives no keys. */
function readCertificate(packets: readonly Packet[]): Pick<Keyring, 'keys' | 'userIds'> {
  const [first] = packets;
  const primary = first && tryParse(() => parsePublicKey(first.body));
  const components = primary ? groupComponents(packets) : [];
  const identity = primary && readPrimary(primary, components);
  if (!primary || !identity) return { keys: [], userIds: [] };
  const subkeys = components
    .filter((component) => component.kind === 'subkey')
    .flatMap((component) => readSubkey(identity, component));
  const users = components.filter(({ kind, packet }) => kind === 'user' && packet.tag === TAG.userId);
  return {
    keys: [identity, ...subkeys],
    userIds: users
      .filter((user) => certificationOf(primary, user))
      .map(({ packet }) => Buffer.from(packet.body).toString()),
  };
}

function groupComponents(packets: readonly Packet[]): Component[] {
  const components: Component[] = [];
  let current: Component | undefined;
  for (const packet of packets) {
    const kind = COMPONENT_KINDS.get(packet.tag);
    if (kind) {
      const known = components.find((one) => one.kind === kind && equal(one.packet.body, packet.body));
      current = known ?? { kind, packet, signatures: [] };
      if (!known) components.push(current);
    } else if (packet.tag === TAG.signature) {
      const signature = tryParse(() => parseSignature(packet.body));
      if (signature) current?.signatures.push(signature);
    }
  }
  return components;
}

const COMPONENT_KINDS: ReadonlyMap<number, Component['kind']> = new Map([
  [TAG.publicKey, 'primary'],
  [TAG.userId, 'user'],
  [TAG.userAttribute, 'user'],
  [TAG.publicSubkey, 'subkey'],
]);

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.length).equals(b);
}

function readPrimary(
  primary: PublicKeyPacket,
  components: readonly Component[],
): VerificationKey | undefined {
  const direct = components.filter(({ kind }) => kind === 'primary').flatMap(({ signatures }) => signatures);
  const own = (type: number) =>
    direct.filter((signature) => signature.type === type && verifies(signature, primary, [primary.hashed]));
  const revoked = own(SIGNATURE_TYPE.keyRevocation).length > 0;
  const vouching = [
    ...own(SIGNATURE_TYPE.directKey),
    ...components
      .filter(({ kind }) => kind === 'user')
      .flatMap((user) => certificationOf(primary, user) ?? []),
  ];
  const newest = latest(vouching);
  if (!newest) return undefined;
  return {
    packet: primary,
    primaryFingerprint: primary.fingerprint,
    revoked,
    ...expiry(primary, newest),
    ...usage(primary, newest, true),
  };
}

/** The newest self-certification of a user id, unless the user id was revoked after it. */
function certificationOf(primary: PublicKeyPacket, user: Component): SignaturePacket | undefined {
  const valid = user.signatures.filter(
    (signature) =>
      isCertification(signature.type) &&
      verifies(signature, primary, userData(primary, user.packet, signature)),
  );
  const newest = latest(valid.filter(({ type }) => type !== SIGNATURE_TYPE.certificationRevocation));
  const revocation = latest(valid.filter(({ type }) => type === SIGNATURE_TYPE.certificationRevocation));
  return newest && revocation && revocation.created >= newest.created ? undefined : newest;
}

function isCertification(type: number): boolean {
  return (
    (type >= SIGNATURE_TYPE.certificationGeneric && type <= SIGNATURE_TYPE.certificationPositive) ||
    type === SIGNATURE_TYPE.certificationRevocation
  );
}

function userData(primary: PublicKeyPacket, packet: Packet, signature: SignaturePacket): Uint8Array[] {
  if (signature.version === 3) return [primary.hashed, packet.body];
  const header = Buffer.from([packet.tag === TAG.userId ? 0xb4 : 0xd1, 0, 0, 0, 0]);
  header.writeUInt32BE(packet.body.length, 1);
  return [primary.hashed, header, packet.body];
}

function readSubkey(identity: VerificationKey, component: Component): VerificationKey[] {
  const subkey = tryParse(() => parsePublicKey(component.packet.body));
  if (!subkey) return [];
  const data = [identity.packet.hashed, subkey.hashed];
  const valid = component.signatures.filter((signature) => verifies(signature, identity.packet, data));
  const binding = latest(valid.filter(({ type }) => type === SIGNATURE_TYPE.subkeyBinding));
  if (!binding) return [];
  const revoked = identity.revoked || valid.some(({ type }) => type === SIGNATURE_TYPE.subkeyRevocation);
  const expires = [identity.expires, expiry(subkey, binding).expires].filter((time) => time !== undefined);
  const allowed = usage(subkey, binding, false);
  return [
    {
      packet: subkey,
      primaryFingerprint: identity.packet.fingerprint,
      revoked,
      ...(expires.length > 0 && { expires: Math.min(...expires) }),
      ...(allowed.unusable === undefined && !hasBackSignature(binding, subkey, data)
        ? { unusable: 'subkey does not vouch for its primary key' }
        : allowed),
    },
  ];
}

/** A signing subkey must sign its primary key as well, or anyone could adopt it (SECURITY S02). */
function hasBackSignature(
  binding: SignaturePacket,
  subkey: PublicKeyPacket,
  data: readonly Uint8Array[],
): boolean {
  return binding.embedded.some((body) => {
    const signature = tryParse(() => parseSignature(body));
    return (
      signature !== undefined &&
      signature.type === SIGNATURE_TYPE.primaryBinding &&
      verifies(signature, subkey, data)
    );
  });
}

function expiry(key: PublicKeyPacket, signature: SignaturePacket): { readonly expires?: number } {
  return signature.keyLifetime ? { expires: key.created + signature.keyLifetime } : {};
}

const MAY_SIGN = 0x02;

function usage(
  key: PublicKeyPacket,
  signature: SignaturePacket,
  primary: boolean,
): { readonly unusable?: string } {
  if (!key.key) return { unusable: 'key is too weak, of an unsupported kind, or only for encryption' };
  // Without key flags the algorithm alone decides: for old primary keys only.
  const flags = signature.keyFlags ?? (primary ? MAY_SIGN : 0);
  return (flags & MAY_SIGN) === 0 ? { unusable: 'key is not for signing' } : {};
}

function verifies(signature: SignaturePacket, key: PublicKeyPacket, data: readonly Uint8Array[]): boolean {
  const { issuerFingerprint = key.fingerprint, issuerKeyId = key.keyId } = signature;
  // Certifications by other people need no arithmetic.
  if (issuerFingerprint !== key.fingerprint || issuerKeyId !== key.keyId) return false;
  return tryParse(() => isMadeBy(signature, key, data)) ?? false;
}

function latest(signatures: readonly SignaturePacket[]): SignaturePacket | undefined {
  return signatures.reduce<SignaturePacket | undefined>(
    (best, signature) => (best && best.created >= signature.created ? best : signature),
    undefined,
  );
}

/** Parts of a certificate that are malformed or unsupported count as absent: they can only take rights away. */
function tryParse<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SignError) return undefined;
    throw error;
  }
}

function bad(why: string, cause?: unknown): SignError {
  return new SignError('bad-key', why, { cause });
}
