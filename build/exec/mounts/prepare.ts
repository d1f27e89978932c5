import type { IdMappings } from '../../../store/layer/contract.ts';
import { BuildError } from '../../error.ts';
import type { Stage } from '../../plan/stages.ts';
import type { RunMount } from '../../run/contract.ts';
import type { BuildSession } from '../session.ts';
import { prepareBind } from './bind.ts';
import { lockCaches, prepareCache } from './cache.ts';
import { prepareSecret } from './secret.ts';
import { type MountSpec, parseMountSpec } from './spec.ts';
import { prepareSsh } from './ssh.ts';

/** What the mounts of one RUN need while it runs; taken away when disposed. */
export interface PreparedMounts extends AsyncDisposable {
  readonly mounts: readonly RunMount[];
  /** Variables that mounts set: a secret's, `SSH_AUTH_SOCK`. */
  readonly environment: readonly string[];
}

/** What each kind of mount is given. */
export interface MountContext {
  readonly session: BuildSession;
  readonly stage: Stage;
  /** A directory for this RUN alone, on a disk. */
  readonly scratch: string;
  /** Undone, in reverse order, when the RUN has ended. */
  readonly cleanup: AsyncDisposableStack;
  /** What is written to the context is lost with this RUN, where else later RUNs of the build see it. */
  readonly forgetsWrites: boolean;
  /** Those of the container: owners that mounts name are its own. */
  readonly idMappings?: IdMappings;
  /** Directories of the cache mounts so far, by their keys. */
  readonly caches: Map<string, string>;
  /** How many agents were mounted before. */
  readonly agents: number;
}

export interface PreparedMount {
  readonly mount?: RunMount;
  readonly environment?: readonly string[];
}

/**
 * Opens the sources of all mounts of a RUN: directories inside their roots, caches with their locks, secrets in
 * memory, agents. A failure takes back what was done.
 * @throws BuildError `bad-mount`, `no-such-stage`
 */
export async function prepareMounts(
  session: BuildSession,
  stage: Stage,
  texts: readonly string[],
  given: Pick<MountContext, 'scratch' | 'idMappings'> & {
    readonly workingDirectory: string;
    readonly forgetsWrites?: boolean;
  },
): Promise<PreparedMounts> {
  const cleanup = new AsyncDisposableStack();
  const mounts: RunMount[] = [];
  const environment: string[] = [];
  const { scratch, idMappings, forgetsWrites = false } = given;
  const caches = new Map<string, string>();
  const common = { session, stage, scratch, idMappings, forgetsWrites, cleanup, caches };
  let agents = 0;
  try {
    const specs = texts.map((text) => parseMountSpec(text, given.workingDirectory));
    for (const spec of specs) refuseRoot(spec);
    await lockCaches(specs, { ...common, agents });
    for (const spec of specs) {
      const context = { ...common, agents };
      const prepared = await {
        bind: prepareBind,
        cache: prepareCache,
        tmpfs: prepareTmpfs,
        secret: prepareSecret,
        ssh: prepareSsh,
      }[spec.type](spec, context);
      if (spec.type === 'ssh' && prepared.mount) agents += 1;
      if (prepared.mount) mounts.push(prepared.mount);
      environment.push(...(prepared.environment ?? []));
    }
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
  return { mounts, environment, [Symbol.asyncDispose]: () => cleanup.disposeAsync() };
}

function refuseRoot({ type, target }: MountSpec): void {
  if (target === '/' && type !== 'bind')
    throw new BuildError('bad-mount', `invalid mount target "/" for a ${type} mount`);
}

function prepareTmpfs(spec: MountSpec): PreparedMount {
  return {
    mount: {
      type: 'tmpfs',
      destination: spec.target as string,
      options: [
        ...(spec.readOnly ? ['ro'] : []),
        ...spec.flags,
        ...(spec.copyUp ? ['tmpcopyup'] : []),
        ...(spec.modeText ? [`mode=${spec.modeText}`] : []),
        ...(spec.sizeText ? [`size=${spec.sizeText}`] : []),
      ],
    },
  };
}
