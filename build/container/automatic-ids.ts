import type { IdMappings, IdRange } from '../../store/layer/contract.ts';
import type { ImageRecord, LayerRecord, Store } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import { highestListedId } from '../run/user.ts';

/** What `--userns=auto[:size=N,uidmapping=C:H:S,gidmapping=C:H:S]` asks for, and the ids it may take. */
export interface AutomaticIds {
  /** Absent: as many as the image has use for. */
  readonly size?: number;
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  /** Subordinate ranges; container ids in them mean nothing. */
  readonly lent: IdMappings;
}

/** containers/storage's `root-auto-userns-min-size` and `-max-size`. */
const SMALLEST = 1024;
const LARGEST = 65536;

/**
 * Ids for a new container that no other container of the storage has.
 * @throws BuildError `bad-option` where too few ids are free, or the image has use for too many
 */
export async function chooseIds(
  store: Store,
  request: AutomaticIds,
  image: ImageRecord | undefined,
): Promise<IdMappings> {
  const others = await store.containers.list();
  const size = request.size ?? (await sizeFor(store, image));
  return { uids: fillKind('uids'), gids: fillKind('gids') };

  function fillKind(kind: keyof IdMappings): IdRange[] {
    const used = others.flatMap(({ idMappings }) => idMappings?.[kind] ?? []);
    return fill(request[kind], size, [...used, ...request[kind]], request.lent[kind]);
  }
}

/** One more than the highest id that the image's files or its lists of users and groups have. */
async function sizeFor(store: Store, image: ImageRecord | undefined): Promise<number> {
  const top = image?.topLayer;
  if (!top) return SMALLEST;
  let highest = SMALLEST - 1;
  for (let id: string | undefined = top; id; ) {
    const layer: LayerRecord | undefined = await store.layers.get(id);
    for (const owner of [...(layer?.uids ?? []), ...(layer?.gids ?? [])]) highest = Math.max(highest, owner);
    id = layer?.parent;
  }
  const rootfs = await store.layers.mount(top, { readOnly: true });
  try {
    highest = Math.max(highest, highestListedId(rootfs));
  } finally {
    await store.layers.unmount(top);
  }
  if (highest < LARGEST) return highest + 1;
  throw new BuildError(
    'bad-option',
    `the container needs a user namespace with size ${highest + 1} that is bigger than the maximum value allowed with userns=auto ${LARGEST}`,
    { hint: 'name the size: --userns=auto:size=N' },
  );
}

/** Maps the container ids below `size` that `given` leaves out, in order, to free host ids. */
function fill(
  given: readonly IdRange[],
  size: number,
  used: readonly IdRange[],
  lent: readonly IdRange[],
): IdRange[] {
  const gaps = without(
    { start: 0, end: size },
    given.map(({ containerId, size: length }) => span(containerId, length)),
  );
  const taken = used.map(({ hostId, size: length }) => span(hostId, length));
  const free = lent.flatMap((range) => without(span(range.hostId, range.size), taken));
  const filled = [...given];
  let [host] = free;
  for (const gap of gaps) {
    for (let { start } = gap; start < gap.end; ) {
      while (host && host.start >= host.end) {
        free.shift();
        host = free[0];
      }
      if (!host)
        throw new BuildError('bad-option', `could not find ${size} free subordinate ids for --userns=auto`, {
          hint: 'give the user "containers" more ids in /etc/subuid and /etc/subgid, or remove containers',
        });
      const length = Math.min(gap.end - start, host.end - host.start);
      filled.push({ containerId: start, hostId: host.start, size: length });
      start += length;
      host = { start: host.start + length, end: host.end };
    }
  }
  return filled.sort((one, other) => one.containerId - other.containerId);
}

/** Ids from `start` up to, without, `end`. */
interface Span {
  readonly start: number;
  readonly end: number;
}

function span(start: number, size: number): Span {
  return { start, end: start + size };
}

function without(whole: Span, holes: readonly Span[]): Span[] {
  const parts: Span[] = [];
  let { start } = whole;
  for (const hole of [...holes].sort((one, other) => one.start - other.start)) {
    if (hole.end <= start || hole.start >= whole.end) continue;
    if (hole.start > start) parts.push({ start, end: hole.start });
    start = Math.max(start, hole.end);
  }
  if (start < whole.end) parts.push({ start, end: whole.end });
  return parts;
}
