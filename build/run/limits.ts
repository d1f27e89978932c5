import { readFileSync } from 'node:fs';
import { BuildError } from '../error.ts';
import type { ResourceLimits } from './contract.ts';
import type { SpecResources, SpecRlimit } from './runtime-spec.ts';

/** Names of setrlimit(2) in the order of their numbers, as /proc/<pid>/limits calls them. */
export const RLIMITS: Readonly<Record<string, { readonly number: number; readonly label: string }>> = {
  RLIMIT_CPU: { number: 0, label: 'Max cpu time' },
  RLIMIT_FSIZE: { number: 1, label: 'Max file size' },
  RLIMIT_DATA: { number: 2, label: 'Max data size' },
  RLIMIT_STACK: { number: 3, label: 'Max stack size' },
  RLIMIT_CORE: { number: 4, label: 'Max core file size' },
  RLIMIT_RSS: { number: 5, label: 'Max resident set' },
  RLIMIT_NPROC: { number: 6, label: 'Max processes' },
  RLIMIT_NOFILE: { number: 7, label: 'Max open files' },
  RLIMIT_MEMLOCK: { number: 8, label: 'Max locked memory' },
  RLIMIT_AS: { number: 9, label: 'Max address space' },
  RLIMIT_LOCKS: { number: 10, label: 'Max file locks' },
  RLIMIT_SIGPENDING: { number: 11, label: 'Max pending signals' },
  RLIMIT_MSGQUEUE: { number: 12, label: 'Max msgqueue size' },
  RLIMIT_NICE: { number: 13, label: 'Max nice priority' },
  RLIMIT_RTPRIO: { number: 14, label: 'Max realtime priority' },
  RLIMIT_RTTIME: { number: 15, label: 'Max realtime timeout' },
};

export const UNLIMITED = 0xffff_ffff_ffff_ffffn;
/** Open files and processes unless --ulimit says otherwise (Buildah's default). */
const DEFAULT_LIMIT = 1_048_576n;

export interface LimitSituation {
  /** /proc/self/limits. */
  readonly limitsText: string;
  /** This process may raise hard limits (CAP_SYS_RESOURCE in the first user namespace). */
  readonly mayRaise: boolean;
  readonly rootless: boolean;
}

/**
 * The resource limits of a RUN: those asked for, and Buildah's defaults for open files and processes, which are lowered
 * to what this process may grant.
 * @throws BuildError `bad-option` for an unknown name, a soft limit above the hard one, or more than may be granted
 */
export function chooseRlimits(limits: ResourceLimits | undefined, situation: LimitSituation): SpecRlimit[] {
  const chosen = new Map<string, SpecRlimit>();
  for (const type of ['RLIMIT_NOFILE', 'RLIMIT_NPROC']) {
    const ceiling = hardLimit(situation.limitsText, type);
    const isDefault = !situation.rootless && (situation.mayRaise || DEFAULT_LIMIT < ceiling);
    const value = isDefault ? DEFAULT_LIMIT : ceiling;
    chosen.set(type, { type, soft: value, hard: value });
  }
  for (const ulimit of limits?.ulimits ?? []) {
    const limit = givenLimit(ulimit, situation);
    chosen.set(limit.type, limit);
  }
  return [...chosen.values()];
}

function givenLimit(
  { name, soft, hard }: NonNullable<ResourceLimits['ulimits']>[number],
  { limitsText, mayRaise }: LimitSituation,
): SpecRlimit {
  const type = `RLIMIT_${name.toUpperCase()}`;
  if (!(type in RLIMITS)) throw new BuildError('bad-option', `invalid ulimit type: ${name}`);
  const limit = { type, soft: whole(soft), hard: whole(hard) };
  if (limit.soft > limit.hard)
    throw new BuildError(
      'bad-option',
      `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`,
    );
  const ceiling = hardLimit(limitsText, type);
  if (limit.hard <= ceiling || mayRaise) return limit;
  throw new BuildError('bad-option', `setting ulimit ${name}=${soft}:${hard}: operation not permitted`, {
    hint: `The hard limit here is ${ceiling}, and raising it needs root with CAP_SYS_RESOURCE.`,
  });
}

function whole(value: number): bigint {
  return value < 0 ? UNLIMITED : BigInt(value);
}

function hardLimit(text: string, type: string): bigint {
  const label = RLIMITS[type]?.label ?? '';
  const line = text.split('\n').find((row) => row.startsWith(label));
  const value = line?.slice(label.length).trim().split(/\s+/)[1];
  return value === undefined || value === 'unlimited' ? UNLIMITED : BigInt(value);
}

export function readLimits(): string {
  return readFileSync('/proc/self/limits', 'utf8');
}

/** Cgroup limits as the runtime spec writes them; undefined where none is asked for. */
export function chooseResources(limits: ResourceLimits | undefined): SpecResources | undefined {
  if (!limits) return undefined;
  const memory = { limit: limits.memoryBytes, swap: limits.memorySwapBytes };
  const cpu = {
    shares: limits.cpuShares,
    quota: limits.cpuQuota,
    period: limits.cpuPeriod,
    cpus: limits.cpusetCpus,
    mems: limits.cpusetMems,
  };
  const given = (part: object) => Object.values(part).some((value) => value !== undefined);
  const resources = {
    ...(given(memory) ? { memory } : {}),
    ...(given(cpu) ? { cpu } : {}),
    ...(limits.pidsLimit === undefined ? {} : { pids: { limit: limits.pidsLimit } }),
  };
  return Object.keys(resources).length > 0 ? resources : undefined;
}
