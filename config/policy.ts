import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../errors.ts';
import { ImageError } from '../image/error.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../image/json.ts';
import { ConfigError } from './error.ts';
import { parseRequirement } from './policy-requirement.ts';
import { badScope } from './policy-scope.ts';
import type { Policy, PolicyRequirement } from './policy-types.ts';

/** A policy file larger than this is refused; keys may stand inside it as base64. */
export const POLICY_LIMIT_BYTES = 4 * 1024 * 1024;

export interface PolicyOptions {
  /** `--policy` or `--signature-policy`: this file and no other; it must exist. */
  readonly path?: string;
  /** Home directory for `.config/containers/policy.json`; absent: only the system's file. */
  readonly home?: string;
  /** Default `/etc/containers/policy.json`. */
  readonly systemPath?: string;
  /** Told once when no policy file exists anywhere and the built-in policy applies. */
  readonly onWarning?: (text: string) => void;
}

/**
 * The policy where no policy file exists: every image is accepted, unless signatures are demanded (`--require-signed`
 * then refuses everything). containers/image stops with an error instead; distributions avoid that by installing
 * this same policy, so a machine without their package behaves as one with it.
 */
export const BUILT_IN_POLICY: Policy = {
  default: [{ type: 'insecureAcceptAnything' }],
  transports: new Map(),
};

/** `--insecure-policy`: accepts everything and says nothing. */
export const INSECURE_POLICY: Policy = BUILT_IN_POLICY;

/**
 * The policy in force: the explicit file, the user's, the system's, else {@link BUILT_IN_POLICY} with one warning.
 * A file that is there but cannot be used (unreadable, a dangling link, malformed) is an error, never skipped.
 * @throws ConfigError `bad-config`, `unreadable`, `not-found`
 */
export async function readPolicy(options: PolicyOptions): Promise<Policy> {
  if (options.path) return readPolicyFile(options.path, { anyFile: true });
  const path = await findPolicy(options);
  if (path !== undefined) return readPolicyFile(path);
  options.onWarning?.(
    `no policy.json file found at any of the following: ${policyPaths(options)
      .map((place) => JSON.stringify(place))
      .join(', ')}; accepting any image, signed or not`,
  );
  return BUILT_IN_POLICY;
}

/** The user's and the system's place, in the order they are tried. */
export function policyPaths(options: Pick<PolicyOptions, 'home' | 'systemPath'>): string[] {
  return [
    ...(options.home ? [join(options.home, '.config/containers/policy.json')] : []),
    options.systemPath ?? '/etc/containers/policy.json',
  ];
}

/** The first place where something stands, even a dangling link. */
export async function findPolicy(
  options: Pick<PolicyOptions, 'home' | 'systemPath'>,
): Promise<string | undefined> {
  for (const path of policyPaths(options)) {
    try {
      await lstat(path);
      return path;
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw unreadable(path, error);
    }
  }
  return undefined;
}

/**
 * @param options `anyFile`: also a pipe or device, for paths that a person typed, such as `/dev/fd/63`
 * @throws ConfigError `bad-config`, `unreadable`, `not-found`
 */
export async function readPolicyFile(
  path: string,
  options: { readonly anyFile?: boolean } = {},
): Promise<Policy> {
  const bytes = await readBytes(path, options.anyFile ?? false);
  try {
    return { ...parsePolicy(bytes), path };
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError('bad-config', `invalid policy in ${JSON.stringify(path)}: ${cause.message}`, {
      cause,
      hint: 'the whole file is refused, since a mistake in it could switch a check off',
      facts: { path },
    });
  }
}

/**
 * Reads policy.json strictly: unknown and duplicate keys, wrong types and bad scopes of known transports refuse the
 * whole document, as containers/image signature/policy_config.go does.
 * @throws ConfigError `bad-config`
 */
export function parsePolicy(bytes: Uint8Array | string): Policy {
  const json = parseStrict(bytes);
  for (const key of Object.keys(json)) if (key !== 'default' && key !== 'transports') throw unknownKey(key);
  if (json.default === undefined) throw bad('Default policy is missing');
  return {
    default: parseRequirements(json.default),
    transports: json.transports === undefined ? new Map() : parseTransports(json.transports),
  };
}

function parseStrict(bytes: Uint8Array | string) {
  try {
    return parseJsonObject(bytes, { what: 'policy', limitBytes: POLICY_LIMIT_BYTES, limitDepth: 32 });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new ConfigError('bad-config', cause.message, { cause });
  }
}

function parseTransports(value: JsonValue): Policy['transports'] {
  if (!isJsonObject(value)) throw bad('JSON object expected for "transports"');
  return new Map(
    Object.entries(value).map(([transport, scopes]) => {
      if (!isJsonObject(scopes)) throw bad(`JSON object expected for transport ${JSON.stringify(transport)}`);
      return [transport, parseScopes(transport, scopes)];
    }),
  );
}

function parseScopes(transport: string, scopes: { [scope: string]: JsonValue }) {
  return new Map(
    Object.entries(scopes).map(([scope, requirements]): [string, readonly PolicyRequirement[]] => {
      const why = scope === '' ? undefined : badScope(transport, scope);
      if (why !== undefined) throw unknownKey(scope, why);
      return [scope, parseRequirements(requirements)];
    }),
  );
}

function parseRequirements(value: JsonValue): readonly PolicyRequirement[] {
  if (!Array.isArray(value)) throw bad('JSON array expected for a list of policy requirements');
  if (value.length === 0) throw bad('List of verification policy requirements must not be empty');
  return value.map(parseRequirement);
}

/** Links are followed (distributions link policy.json). */
async function readBytes(path: string, anyFile: boolean): Promise<Uint8Array> {
  try {
    await using file = await open(
      path,
      anyFile ? constants.O_RDONLY : constants.O_RDONLY | constants.O_NONBLOCK,
    );
    const found = await file.stat();
    if (!found.isFile() && (!anyFile || found.isDirectory()))
      throw new ConfigError('unreadable', `reading policy ${path}: not a regular file`, { facts: { path } });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of file.createReadStream({ autoClose: false })) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > POLICY_LIMIT_BYTES)
        throw new ConfigError(
          'bad-config',
          `policy ${path} exceeds the limit of ${POLICY_LIMIT_BYTES} bytes`,
        );
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (isSystemError(error)) throw unreadable(path, error);
    throw error;
  }
}

function unreadable(path: string, cause: unknown): ConfigError {
  const missing = isSystemError(cause, 'ENOENT', 'ENOTDIR');
  const why = missing ? 'no such file or directory' : (cause as Error).message;
  return new ConfigError(missing ? 'not-found' : 'unreadable', `open ${path}: ${why}`, {
    cause,
    facts: { path },
  });
}

function unknownKey(key: string, why?: string): ConfigError {
  return bad(`Unknown key ${JSON.stringify(key.slice(0, 200))}${why ? `: ${why}` : ''}`);
}

function bad(why: string): ConfigError {
  return new ConfigError('bad-config', why);
}
