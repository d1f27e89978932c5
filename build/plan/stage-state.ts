import type { Healthcheck, RuntimeConfig } from '../../image/config.ts';
import { BuildError } from '../error.ts';
import type { Variables } from '../parse/expand.ts';
import { PROXY_ARGUMENTS } from './arguments.ts';
import { assignedValue, mergeEnvironment, nameOf } from './variables.ts';

/** The runtime configuration that instructions of a stage change; `Env` holds only what the stage itself set. */
export interface StageConfig {
  User: string;
  WorkingDir: string;
  readonly Env: readonly string[];
  Cmd: string[] | null;
  Entrypoint: string[] | null;
  ExposedPorts: Record<string, object>;
  Volumes: Record<string, object>;
  Labels: Record<string, string>;
  OnBuild: string[];
  Shell: string[];
  StopSignal: string;
  Healthcheck?: Healthcheck;
  Hostname: string;
  Domainname: string;
}

/** Characters of all values that a stage sets; far above what kernels and registries take. */
const LIMIT_VALUES = 16 * 1024 * 1024;

/** The PATH of images that set none. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * What executing instructions one after the other changes: configuration, environment and arguments of one stage
 * (openshift/imagebuilder's Builder). Lives as long as the stage is built; nothing in it touches a file system.
 */
export class StageState {
  readonly config: StageConfig;
  /** `NAME=value` by name: from containers.conf and the base image, then ENV. */
  readonly #environment: Map<string, string>;
  /** The same of what the stage itself sets. */
  readonly #own = new Map<string, string>();
  /** Values of arguments: `--build-arg`, defaults of ARG, platform arguments once declared. */
  readonly arguments: Map<string, string>;
  /** Names that an ARG of this stage declared, and the proxies. */
  readonly allowed = new Set<string>(PROXY_ARGUMENTS);
  readonly userArguments: ReadonlyMap<string, string>;
  readonly headingArguments: ReadonlyMap<string, string>;
  readonly builtins: ReadonlyMap<string, string>;
  #spent = 0;
  readonly volumes: string[] = [];
  author = '';
  commandSet = false;
  /** Words of the stage's ARG instructions, for the histories' sake. */
  readonly declared: string[] = [];

  constructor(given: {
    readonly userArguments: ReadonlyMap<string, string>;
    readonly headingArguments: ReadonlyMap<string, string>;
    readonly builtins: ReadonlyMap<string, string>;
    readonly defaultEnvironment?: readonly string[];
  }) {
    this.userArguments = given.userArguments;
    this.headingArguments = given.headingArguments;
    this.builtins = given.builtins;
    this.arguments = new Map(given.userArguments);
    this.#environment = byName(given.defaultEnvironment ?? []);
    this.config = emptyConfig(this.#own);
  }

  /** Takes over the base image's configuration and gives its ONBUILD triggers, which are used up. */
  startFrom(config: RuntimeConfig, options: { readonly inheritLabels: boolean }): readonly string[] {
    const { config: own } = this;
    own.User = config.User ?? '';
    own.WorkingDir = config.WorkingDir ?? '';
    own.Cmd = config.Cmd?.length ? [...config.Cmd] : null;
    own.Entrypoint = config.Entrypoint?.length ? [...config.Entrypoint] : null;
    own.ExposedPorts = { ...config.ExposedPorts };
    own.Volumes = { ...config.Volumes };
    own.Labels = options.inheritLabels ? { ...config.Labels } : {};
    own.Shell = [...(config.Shell ?? [])];
    own.StopSignal = config.StopSignal ?? '';
    own.Healthcheck = config.Healthcheck;
    own.Hostname = config.Hostname ?? '';
    own.Domainname = config.Domainname ?? '';
    for (const [name, entry] of byName((config.Env ?? []).filter(isAssignment)))
      this.#environment.set(name, entry);
    if (!this.#environment.has('PATH')) this.#own.set('PATH', `PATH=${DEFAULT_PATH}`);
    own.OnBuild = [];
    return config.OnBuild ?? [];
  }

  /** `NAME=value` of the arguments that are visible now. */
  visibleArguments(): string[] {
    return [...this.arguments].flatMap(([name, value]) =>
      this.allowed.has(name) ? [`${name}=${value}`] : [],
    );
  }

  /** The environment of a RUN: arguments, below the image's and the stage's variables. */
  runEnvironment(): string[] {
    return mergeEnvironment(this.visibleArguments(), this.imageEnvironment());
  }

  /** The variables that the image will have. */
  imageEnvironment(): string[] {
    return [...new Map([...this.#environment, ...this.#own]).values()];
  }

  /** What `$NAME` in an instruction means, at the time of the lookup. */
  variables(): Variables {
    return (name) => {
      const entry = this.#own.get(name) ?? this.#environment.get(name);
      if (entry !== undefined) return assignedValue(entry);
      return this.allowed.has(name) ? this.arguments.get(name) : undefined;
    };
  }

  setLabel(name: string, value: string): void {
    this.#spend(name, value);
    // Not an assignment: a label may be called __proto__.
    const property = { value, enumerable: true, writable: true, configurable: true };
    Object.defineProperty(this.config.Labels, name, property);
  }

  setVariable(name: string, value: string): void {
    this.#spend(name, value);
    const entry = `${name}=${value}`;
    this.#own.set(name, entry);
    this.#environment.set(name, entry);
  }

  #spend(name: string, value: string): void {
    this.#spent += name.length + value.length;
    if (this.#spent > LIMIT_VALUES)
      throw new BuildError('syntax', `the values of this stage are longer than ${LIMIT_VALUES} characters`);
  }

  /**
   * ARG: declares a name; a value given by the user beats the default here, which beats that of the heading. The values
   * of this build (`TARGETARCH`) beat defaults, as in Buildah: `ARG TARGETARCH=amd64` is for builders that know none.
   * It refuses defaults of TARGETPLATFORM and BUILDPLATFORM; they count, as in BuildKit.
   */
  declare(name: string, value: string | undefined): void {
    this.#spend(name, value ?? '');
    this.allowed.add(name);
    const builtin = this.builtins.get(name);
    if (builtin !== undefined && (value === undefined || !name.endsWith('PLATFORM'))) {
      if (!this.userArguments.has(name)) this.arguments.set(name, builtin);
      return;
    }
    const wanted = value ?? this.headingArguments.get(name);
    if (wanted !== undefined && !this.userArguments.has(name)) this.arguments.set(name, wanted);
  }
}

/** SECURITY B16: an entry of a hostile image config without a name or a value never meets the host's environment. */
function isAssignment(entry: string): boolean {
  return entry.indexOf('=') > 0;
}

function byName(entries: readonly string[]): Map<string, string> {
  return new Map(entries.map((entry) => [nameOf(entry), entry]));
}

function emptyConfig(own: ReadonlyMap<string, string>): StageConfig {
  return {
    User: '',
    WorkingDir: '',
    get Env() {
      return [...own.values()];
    },
    Cmd: null,
    Entrypoint: null,
    ExposedPorts: {},
    Volumes: {},
    Labels: {},
    OnBuild: [],
    Shell: [],
    StopSignal: '',
    Hostname: '',
    Domainname: '',
  };
}
