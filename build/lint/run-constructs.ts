import type { RunInstruction } from '../parse/instruction.ts';
import { csvFields, mountFields } from '../parse/mount-fields.ts';
import { type Builder, no, type Use, type Verdict } from './construct.ts';

/** What RUN uses beyond a command. */
export function runConstructs(run: RunInstruction): readonly Use[] {
  const { line } = run.position;
  const uses: Use[] = run.mounts.flatMap((mount) => mountConstructs(mount, line));
  if (run.network !== undefined) uses.push(networkConstruct(run.network, line));
  if (run.security !== undefined)
    uses.push({ what: 'RUN --security', line, verdicts: { buildah: no('it has no such flag') } });
  if (run.devices.length > 0)
    uses.push({ what: 'RUN --device', line, verdicts: { buildah: no('it has no such flag') } });
  if (run.heredocs.length > 0) uses.push({ what: 'RUN with a heredoc', line });
  return uses;
}

function networkConstruct(network: string, line: number): Use {
  const known = ['default', 'none', 'host'].includes(network);
  return {
    what: `RUN --network=${network}`,
    line,
    verdicts: known || network.includes('$') ? {} : { buildkit: no('it knows default, none and host') },
  };
}

const BUILDKIT_KEYS = new Set(
  'type from source src target dst destination readonly ro readwrite rw required size id sharing mode uid gid env'.split(
    ' ',
  ),
);
/** Keys of BuildKit that Buildah does not read for this type. */
const MISSING_IN_BUILDAH: Readonly<Record<string, readonly string[]>> = {
  tmpfs: ['size', 'readwrite', 'rw', 'source', 'src', 'from', 'id', 'env'],
  bind: ['id', 'env'],
  secret: ['source', 'src', 'readonly', 'ro', 'readwrite', 'rw'],
  ssh: ['env', 'from', 'readonly', 'ro', 'readwrite', 'rw'],
  cache: ['env'],
};

function mountConstructs(mount: string, line: number): readonly Use[] {
  const fields = mountFields(mount);
  const written = fields.find(([key]) => key === 'type')?.[1] ?? 'bind';
  const type = written.toLowerCase();
  const uses: Use[] = [{ what: `RUN --mount=type=${type}`, line }];
  for (const [key, value] of fields) {
    const verdicts = verdictsOfKey(type, key, value);
    if (Object.keys(verdicts).length > 0)
      uses.push({ what: `RUN --mount=type=${type},${key}`, line, verdicts });
  }
  if (!TYPES.has(type) && !type.includes('$')) {
    const why = no('it knows no such type');
    uses.push({
      what: `a mount of type ${type}`,
      line,
      verdicts: { buildah: why, buildkit: why, slipway: why },
    });
  }
  if (type !== written || csvFields(mount).some(hasCapitals))
    uses.push({
      what: 'capitals in the options of a mount',
      line,
      verdicts: { buildah: no('it knows these words in lower case only') },
    });
  return uses;
}

/** Single letters, such as Z, are Buildah's. */
function hasCapitals(field: string): boolean {
  const key = field.split('=', 1)[0] as string;
  return key.length > 1 && key !== key.toLowerCase();
}

const TYPES = new Set(['bind', 'cache', 'tmpfs', 'secret', 'ssh']);
/** Options that stand alone in Buildah. */
const SWITCHES = new Set(['ro', 'readonly', 'rw', 'readwrite']);

function verdictsOfKey(
  type: string,
  key: string,
  value: string | undefined,
): Partial<Readonly<Record<Builder, Verdict>>> {
  if (key === 'U' && value !== undefined) {
    const alone = no('it takes this option without a value only');
    return { buildah: alone, slipway: alone, buildkit: no('it has no such option') };
  }
  if (!BUILDKIT_KEYS.has(key)) return { buildkit: no('it has no such option') };
  if (SWITCHES.has(key) && value !== undefined && (type === 'bind' || type === 'cache'))
    return { buildah: no('it takes this option without a value only') };
  if (key === 'from' && value === '') {
    const empty = no('it wants a name there');
    return { buildah: empty, slipway: empty };
  }
  if (key === 'from' && value?.includes('$')) return { buildkit: no('it replaces no variables in from') };
  if (MISSING_IN_BUILDAH[type]?.includes(key)) return { buildah: no('it has no such option for this type') };
  if (type === 'cache' && key === 'sharing' && value === 'private')
    return { buildah: no('it knows locked and shared') };
  return {};
}
