import { readFile, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { readContainersConfig } from '../config/containers.ts';
import { buildMemoryOf, cacheHomeOf } from '../config/host.ts';
import { isSystemError } from '../errors.ts';
import type { BuildSurroundings, NamespaceOption, WorkingContainer } from './container/contract.ts';
import { namespaceOption, networkChoice } from './container/namespace-option.ts';
import { BuildError } from './error.ts';
import type { BuildOptions, ContainerfileText, RunSettings } from './exec/options.ts';
import { runSettings } from './exec/run-settings.ts';
import type { IsolationKind } from './run/contract.ts';
import { detectIsolation } from './run/detect.ts';

/** What a request says in other words, or not at all. */
type Replaced =
  | 'contextDirectory'
  | 'files'
  | 'arguments'
  | 'output'
  | 'additionalTags'
  | 'buildPlatform'
  | 'platformGiven'
  | 'builderVersion'
  | 'run';

/**
 * A build in the words of a library: a context, and what of {@link BuildOptions} is to be other than `buildah build` has
 * it by default.
 */
export interface BuildRequest extends Partial<Omit<BuildOptions, Replaced>> {
  /** Directory that COPY and ADD read from. */
  readonly contextDirectory: string;
  /** Text of the Containerfile; default: `Containerfile` or `Dockerfile` in the context. */
  readonly containerfile?: string;
  readonly names?: readonly string[];
  readonly arguments?: Readonly<Record<string, string>>;
  /** Default: what works on this machine. */
  readonly isolation?: IsolationKind;
  /**
   * `none`, `host`, `private` or `container`, the path of a namespace, or what `--network` takes beyond them: networks by name, `pasta`
   * with its options. Default: as containers.conf says.
   */
  readonly network?: string;
  /** Replaces single settings of RUN that containers.conf and the fields above have given. */
  readonly run?: Partial<RunSettings>;
}

/** The whole options of a request. @throws ConfigError, BuildError `bad-context` */
export async function buildOptionsOf(
  surroundings: BuildSurroundings,
  request: BuildRequest,
): Promise<BuildOptions> {
  const { contextDirectory: context, containerfile, names = [], isolation, network, ...given } = request;
  const { environment, workingDirectory } = surroundings;
  const contextDirectory = await realpath(resolve(workingDirectory, context));
  const [output = '', ...additionalTags] = names;
  return {
    target: '',
    contexts: new Map(),
    layers: false,
    useCache: true,
    format: 'oci',
    pullPolicy: 'missing',
    stdout: discard(),
    stderr: discard(),
    cacheDirectory: join(cacheHomeOf({ environment }), 'slipway'),
    memoryDirectory: buildMemoryOf({ environment }),
    ...withoutUndefined(given),
    contextDirectory,
    files: [await containerfileOf(contextDirectory, containerfile)],
    arguments: new Map(Object.entries(given.arguments ?? {})),
    output,
    additionalTags,
    platform: given.platform ?? surroundings.platform,
    buildPlatform: surroundings.platform,
    platformGiven: given.platform !== undefined,
    builderVersion: 'slipway',
    run: { ...(await settingsOf(surroundings, isolation, network)), ...given.run },
  };
}

function withoutUndefined<T extends object>(given: T): T {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
}

async function settingsOf(
  { environment, onWarning }: BuildSurroundings,
  isolation: IsolationKind | undefined,
  network: string | undefined,
): Promise<RunSettings> {
  const configured = await readContainersConfig({ environment });
  const { default_capabilities: capabilities, default_ulimits: Ulimit } = configured.containers;
  return runSettings({
    container: {
      isolation: isolation ?? workingIsolation(onWarning),
      capabilities,
      runOptions: { Ulimit },
      ...networkOf(network),
    },
    hostEnvironment: environment,
    configured,
  });
}

function workingIsolation(onWarning: BuildSurroundings['onWarning']): IsolationKind {
  const { preferred = 'oci', note } = detectIsolation();
  if (note !== undefined) onWarning?.(note);
  return preferred;
}

function networkOf(network: string | undefined): {
  readonly network?: WorkingContainer['network'];
  readonly namespaces?: readonly NamespaceOption[];
} {
  if (network === undefined) return {};
  return { network: networkChoice(network), namespaces: [namespaceOption('network', network)] };
}

async function containerfileOf(directory: string, text: string | undefined): Promise<ContainerfileText> {
  if (text !== undefined) return { name: 'Containerfile', text };
  for (const name of ['Containerfile', 'Dockerfile']) {
    const path = join(directory, name);
    try {
      return { name, text: await readFile(path, 'utf8'), path };
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
    }
  }
  throw new BuildError('bad-context', `no Containerfile or Dockerfile in ${directory}`);
}

function discard(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
