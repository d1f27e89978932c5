import { type Digest, parseDigest } from './digest.ts';
import { ImageError } from './error.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from './json.ts';

/** Docker's HEALTHCHECK; durations in nanoseconds. */
export interface Healthcheck {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** The runtime part of an image config: OCI image-spec v1.1 config.md, with Docker's additions. */
export interface RuntimeConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly ArgsEscaped?: boolean;
  /** Docker format only. */
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[] | null;
  readonly Shell?: readonly string[];
  readonly Hostname?: string;
  readonly Domainname?: string;
}

export interface HistoryEntry {
  /** RFC 3339. */
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** An image config document; unknown keys are kept by {@link parseImageConfig}. */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly config?: RuntimeConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] };
  readonly history?: readonly HistoryEntry[];
  /** Docker format only: the runtime config once more, and the container it was made in. */
  readonly container_config?: RuntimeConfig;
  readonly container?: string;
  readonly docker_version?: string;
  readonly parent?: string;
}

/**
 * Reads an image config and checks the parts that are relied upon: diffIDs, `rootfs.type`, history and `config` types.
 * @throws ImageError `bad-config`, `bad-json`, `bad-digest`, `too-large`
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const json = parseJsonObject(bytes, { what: 'image config' });
  const rootfs = json.rootfs;
  if (!isJsonObject(rootfs)) throw bad('rootfs is missing');
  if (rootfs.type !== 'layers') throw bad(`rootfs.type is ${JSON.stringify(rootfs.type)}, not "layers"`);
  const diffIds = rootfs.diff_ids ?? [];
  if (!Array.isArray(diffIds)) throw bad('rootfs.diff_ids is not an array');
  for (const diffId of diffIds) parseDigest(String(diffId));
  if (json.history !== undefined && json.history !== null && !Array.isArray(json.history))
    throw bad('history is not an array');
  if (json.config !== undefined && json.config !== null && !isJsonObject(json.config))
    throw bad('config is not an object');
  checkRuntimeConfig(json.config as JsonObject | undefined | null);
  return {
    ...json,
    architecture: String(json.architecture ?? ''),
    os: String(json.os ?? ''),
    rootfs: { type: 'layers', diff_ids: diffIds as Digest[] },
    history: json.history ?? [],
    config: json.config ?? {},
  } as unknown as ImageConfig;
}

const LISTS = ['Env', 'Entrypoint', 'Cmd', 'OnBuild', 'Shell'];
const MAPS = ['ExposedPorts', 'Volumes', 'Labels'];

function checkRuntimeConfig(config: JsonObject | undefined | null): void {
  if (!config) return;
  for (const key of LISTS) {
    const value = config[key];
    if (value === undefined || value === null) continue;
    if (!Array.isArray(value) || value.some((item) => typeof item !== 'string'))
      throw bad(`config.${key} is not an array of strings`);
  }
  for (const key of MAPS) {
    const value = config[key];
    if (value !== undefined && value !== null && !isJsonObject(value))
      throw bad(`config.${key} is not an object`);
  }
}

function bad(why: string): ImageError {
  return new ImageError('bad-config', `invalid image config: ${why}`);
}
