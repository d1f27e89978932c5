import type { BuildSurroundings } from './build/container/contract.ts';
import type { BuildResult } from './build/exec/options.ts';
import type { BuildRequest } from './build/request.ts';
import { homeOf } from './config/host.ts';
import { readPolicy } from './config/policy.ts';
import { readStorageConfig, withStorageFlags } from './config/storage.ts';
import { type Platform, platformOf } from './image/platform.ts';
import { createPolicy } from './sign/policy/policy.ts';
import type { Store } from './store/storage/contract.ts';
import type { AdmissionPolicy, DockerAccess, OnProgress, TransportContext } from './transport/contract.ts';
import type { CopyOptions, CopyResult } from './transport/copy-options.ts';

/** What {@link openSlipway} reads its configuration from; nothing is taken from the process by itself. */
export interface SlipwayOptions {
  /** Usually `process.env`: HOME, XDG paths, proxies and the variables of the configuration files. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Usually `process.cwd()`: relative paths count from here. */
  readonly workingDirectory: string;
  /** Local storage other than that of storage.conf. */
  readonly storage?: { readonly root: string; readonly runRoot: string; readonly driver?: 'overlay' | 'vfs' };
  /** A policy.json other than the default ones. */
  readonly policyFile?: string;
  /** How registries are reached, beyond the configuration files. */
  readonly registries?: Omit<DockerAccess, 'environment'>;
  /** Default: this machine's. */
  readonly platform?: Platform;
  /** Default: TMPDIR, else /var/tmp. */
  readonly temporaryDirectory?: string;
  readonly onProgress?: OnProgress;
  readonly onWarning?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** The library with its configuration read: one of these for a program, disposed at its end. */
export interface Slipway extends AsyncDisposable {
  /** What transports are opened with. */
  readonly context: TransportContext;
  readonly policy: AdmissionPolicy;
  /** Local storage, opened when first asked for. @throws StoreError */
  store(): Promise<Store>;
  /** Copies between any two references, such as `docker://alpine` and `oci:layout:alpine`. @throws TransportError */
  copy(source: string, destination: string, options?: Partial<CopyOptions>): Promise<CopyResult>;
  /** Builds into local storage. @throws BuildError */
  build(request: BuildRequest): Promise<BuildResult>;
}

/** Reads the configuration files that apply. @throws ConfigError */
export async function openSlipway(options: SlipwayOptions): Promise<Slipway> {
  const { environment, workingDirectory } = options;
  const temporaryDirectory = options.temporaryDirectory ?? (environment.TMPDIR || '/var/tmp');
  const docker: DockerAccess = { environment, ...options.registries };
  const policy = createPolicy(
    await readPolicy({
      path: options.policyFile,
      home: homeOf({ environment }),
      onWarning: options.onWarning,
    }),
    { now: () => Date.now() },
  );
  let opened: Promise<Store> | undefined;
  const store = () => {
    opened ??= openConfiguredStore(options);
    return opened;
  };
  const context: TransportContext = {
    platform: options.platform ?? platformOf(process.platform, process.arch),
    temporaryDirectory,
    docker,
    openStore: (location) =>
      location === undefined ? store() : openConfiguredStore({ ...options, storage: undefined }, location),
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.onWarning ? { onWarning: options.onWarning } : {}),
  };
  return {
    context,
    policy,
    store,
    copy: async (source, destination, more = {}) => {
      const [{ copyImage }, { parseImageReference }] = await Promise.all([
        import('./transport/copy.ts'),
        import('./transport/references.ts'),
      ]);
      const [from, to] = await Promise.all(
        [source, destination].map((text) => parseImageReference(text, { workingDirectory })),
      );
      if (!from || !to) throw new Error('two references went in');
      return await copyImage(policy, from, to, {
        source: context,
        destination: context,
        onProgress: options.onProgress,
        signal: options.signal,
        ...more,
      });
    },
    build: async (request) => {
      const surroundings: BuildSurroundings = {
        ...context,
        store: await store(),
        docker,
        policy,
        workingDirectory,
        environment,
        now: () => new Date(),
        ...(options.onProgress ? { onProgress: options.onProgress } : {}),
      };
      const [{ buildImage }, { buildOptionsOf }] = await Promise.all([
        import('./build/exec/build.ts'),
        import('./build/request.ts'),
      ]);
      return await buildImage(surroundings, await buildOptionsOf(surroundings, request));
    },
    [Symbol.asyncDispose]: async () => {
      if (opened) await (await opened)[Symbol.asyncDispose]();
    },
  };
}

async function openConfiguredStore(
  { environment, storage }: SlipwayOptions,
  location: {
    readonly driver?: string;
    readonly graphRoot?: string;
    readonly runRoot?: string;
    readonly options?: readonly string[];
  } = {},
): Promise<Store> {
  const { openStore } = await import('./store/storage/open.ts');
  const flags = {
    root: location.graphRoot ?? storage?.root,
    runRoot: location.runRoot ?? storage?.runRoot,
    driver: location.driver ?? storage?.driver,
    options: location.options,
  };
  return await openStore(withStorageFlags(await readStorageConfig({ environment }), flags));
}
