import { ImageError } from '../image/error.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../image/json.ts';
import { type NamedReference, parseReference } from '../image/reference.ts';
import { decodeBase64 } from '../image/signature.ts';
import { ConfigError } from './error.ts';
import {
  type FulcioRequirement,
  KEY_TYPES,
  type KeySource,
  type PkiRequirement,
  type PolicyRequirement,
  type SignedIdentity,
} from './policy-types.ts';

/**
 * One requirement object of policy.json. Every key must be known and of its type: a typo would otherwise switch a
 * check off (containers/image signature/policy_config.go).
 * @throws ConfigError `bad-config`
 */
export function parseRequirement(value: JsonValue): PolicyRequirement {
  const json = objectOf(value, 'policy requirement');
  const type = json.type;
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      onlyKeys(json, ['type']);
      return { type };
    case 'signedBy':
      return parseSignedBy(json);
    case 'sigstoreSigned':
      return parseSigstoreSigned(json);
    case 'signedBaseLayer':
      onlyKeys(json, ['type', 'baseLayerIdentity']);
      return { type, baseLayerIdentity: parseIdentity(required(json, 'baseLayerIdentity')) };
    default:
      throw bad(`Unknown policy requirement type ${quote(type)}`);
  }
}

function parseSignedBy(json: JsonObject): PolicyRequirement {
  onlyKeys(json, ['type', 'keyType', 'keyPath', 'keyPaths', 'keyData', 'signedIdentity']);
  const keyType = KEY_TYPES.find((known) => known === json.keyType);
  if (keyType === undefined) throw bad(`Unrecognized keyType value ${quote(json.keyType ?? '')}`);
  const keys = oneSource(json, { path: 'keyPath', paths: 'keyPaths', data: 'keyData' });
  if (!keys)
    throw bad('Exactly one of keyPath, keyPaths and keyData must be specified, none of them present');
  return { type: 'signedBy', keyType, keys, signedIdentity: signedIdentityOf(json) };
}

const SIGSTORE_KEYS = [
  ...['type', 'keyPath', 'keyPaths', 'keyData', 'keyDatas', 'fulcio', 'pki', 'signedIdentity'],
  ...['rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas'],
];

function parseSigstoreSigned(json: JsonObject): PolicyRequirement {
  onlyKeys(json, SIGSTORE_KEYS);
  const keys = oneSource(json, { path: 'keyPath', paths: 'keyPaths', data: 'keyData', datas: 'keyDatas' });
  const fulcio = json.fulcio === undefined ? undefined : parseFulcio(objectOf(json.fulcio, 'fulcio'));
  const pki = json.pki === undefined ? undefined : parsePki(objectOf(json.pki, 'pki'));
  if ([keys, fulcio, pki].filter((source) => source !== undefined).length !== 1)
    throw bad('exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio, and pki must be specified');
  const rekorPublicKeys = oneSource(json, {
    path: 'rekorPublicKeyPath',
    paths: 'rekorPublicKeyPaths',
    data: 'rekorPublicKeyData',
    datas: 'rekorPublicKeyDatas',
  });
  const rekorNames = 'rekorPublicKeyPath, rekorPublicKeyPaths, rekorPublicKeyData and rekorPublicKeyDatas';
  if (fulcio && !rekorPublicKeys)
    throw bad(`At least one of ${rekorNames} must be specified if fulcio is used`);
  if (pki && rekorPublicKeys) throw bad(`${rekorNames} are not supported for pki`);
  return {
    type: 'sigstoreSigned',
    ...(keys && { keys }),
    ...(fulcio && { fulcio }),
    ...(pki && { pki }),
    ...(rekorPublicKeys && { rekorPublicKeys }),
    signedIdentity: signedIdentityOf(json),
  };
}

function parseFulcio(json: JsonObject): FulcioRequirement {
  onlyKeys(json, ['caPath', 'caData', 'oidcIssuer', 'subjectEmail']);
  const ca = oneSource(json, { path: 'caPath', data: 'caData' });
  if (!ca) throw bad('At least one of caPath and caData must be specified');
  const oidcIssuer = textOf(json, 'oidcIssuer');
  if (!oidcIssuer) throw bad('oidcIssuer not specified');
  const subjectEmail = textOf(json, 'subjectEmail');
  if (!subjectEmail) throw bad('subjectEmail not specified');
  return { ca, oidcIssuer, subjectEmail };
}

function parsePki(json: JsonObject): PkiRequirement {
  onlyKeys(json, [
    ...['caRootsPath', 'caRootsData', 'caIntermediatesPath', 'caIntermediatesData'],
    ...['subjectEmail', 'subjectHostname'],
  ]);
  const caRoots = oneSource(json, { path: 'caRootsPath', data: 'caRootsData' });
  if (!caRoots) throw bad('At least one of caRootsPath and caRootsData must be specified');
  const caIntermediates = oneSource(json, { path: 'caIntermediatesPath', data: 'caIntermediatesData' });
  const subjectEmail = textOf(json, 'subjectEmail');
  const subjectHostname = textOf(json, 'subjectHostname');
  if (!subjectEmail && !subjectHostname)
    throw bad('At least one of subjectEmail, subjectHostname must be specified');
  return {
    caRoots,
    ...(caIntermediates && { caIntermediates }),
    ...(subjectEmail && { subjectEmail }),
    ...(subjectHostname && { subjectHostname }),
  };
}

function signedIdentityOf(json: JsonObject): SignedIdentity {
  return json.signedIdentity === undefined
    ? { type: 'matchRepoDigestOrExact' }
    : parseIdentity(json.signedIdentity);
}

function parseIdentity(value: JsonValue): SignedIdentity {
  const json = objectOf(value, 'signedIdentity');
  const type = json.type;
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      onlyKeys(json, ['type']);
      return { type };
    case 'exactReference': {
      onlyKeys(json, ['type', 'dockerReference']);
      const reference = referenceOf(json, 'dockerReference');
      if (reference.tag === undefined && reference.digest === undefined)
        throw bad(`dockerReference ${quote(json.dockerReference)} contains neither a tag nor digest`);
      return { type, reference };
    }
    case 'exactRepository':
      onlyKeys(json, ['type', 'dockerRepository']);
      return { type, reference: referenceOf(json, 'dockerRepository') };
    case 'remapIdentity':
      onlyKeys(json, ['type', 'prefix', 'signedPrefix']);
      return { type, prefix: prefixOf(json, 'prefix'), signedPrefix: prefixOf(json, 'signedPrefix') };
    default:
      throw bad(`Unknown policy reference match type ${quote(type)}`);
  }
}

function referenceOf(json: JsonObject, key: string): NamedReference {
  const text = required(json, key);
  if (typeof text !== 'string') throw wrongType(key, 'a string');
  try {
    return parseReference(text);
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw bad(`Invalid format of ${key} ${quote(text)}: ${cause.message}`, cause);
  }
}

/** A host, a namespace or a repository: what stands before a further path component. */
function prefixOf(json: JsonObject, key: string): string {
  const text = required(json, key);
  if (typeof text !== 'string') throw wrongType(key, 'a string');
  try {
    parseReference(`${text}/x`);
    return text;
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw bad(`prefix ${quote(text)} is not valid`, cause);
  }
}

interface SourceKeys {
  readonly path: string;
  readonly paths?: string;
  readonly data: string;
  readonly datas?: string;
}

/** At most one of the keys may be there; `""` for a path counts as not specified, as in containers/image. */
function oneSource(json: JsonObject, keys: SourceKeys): KeySource | undefined {
  const names = [keys.path, keys.paths, keys.data, keys.datas].filter((name) => name !== undefined);
  const present = names.filter((name) => json[name] !== undefined);
  if (present.length > 1) throw bad(`${names.join(', ')} cannot be used simultaneously`);
  const name = present[0];
  if (name === undefined) return undefined;
  if (name === keys.path) {
    const path = textOf(json, name) as string;
    if (path === '') throw bad(`exactly one of ${names.join(', ')} must be specified: ${name} is empty`);
    return { paths: [path] };
  }
  if (name === keys.data) return { data: [bytesOf(json[name] as JsonValue, name)] };
  const list = json[name];
  if (!Array.isArray(list)) throw wrongType(name, 'an array');
  if (list.length === 0) throw bad(`${name} is empty`);
  if (name === keys.datas) return { data: list.map((item) => bytesOf(item, name)) };
  return {
    paths: list.map((item) => {
      if (typeof item !== 'string') throw wrongType(name, 'an array of strings');
      return item;
    }),
  };
}

function bytesOf(value: JsonValue, key: string): Uint8Array {
  if (typeof value !== 'string') throw wrongType(key, 'base64 text');
  try {
    return decodeBase64(value);
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw bad(`${key} is not valid base64`, cause);
  }
}

function onlyKeys(json: JsonObject, known: readonly string[]): void {
  for (const key of Object.keys(json)) if (!known.includes(key)) throw bad(`Unknown key ${quote(key)}`);
}

function required(json: JsonObject, key: string): JsonValue {
  const value = json[key];
  if (value === undefined) throw bad(`Key ${quote(key)} missing in a JSON object`);
  return value;
}

function textOf(json: JsonObject, key: string): string | undefined {
  const value = json[key];
  if (value !== undefined && typeof value !== 'string') throw wrongType(key, 'a string');
  return value;
}

function objectOf(value: JsonValue, what: string): JsonObject {
  if (!isJsonObject(value)) throw bad(`JSON object expected for ${what}`);
  return value;
}

function wrongType(key: string, expected: string): ConfigError {
  return bad(`${quote(key)} is not ${expected}`);
}

function quote(value: JsonValue | undefined): string {
  return JSON.stringify(value ?? '').slice(0, 200);
}

function bad(why: string, cause?: unknown): ConfigError {
  return new ConfigError('bad-config', why, { cause });
}
