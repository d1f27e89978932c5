import type { IdMappings, IdRange } from '../../../store/layer/contract.ts';
import type { ContainerRecord } from '../../../store/storage/contract.ts';
import { usage } from './arguments.ts';

/** What an automatic namespace has at least, as containers/storage's `root-auto-userns-min-size`. */
const MINIMUM_SIZE = 1024;
const KNOWN = new Set(['size', 'uidmapping', 'gidmapping']);

/** What `--userns=auto[:size=N,uidmapping=C:H:S,gidmapping=C:H:S]` asks for. */
interface AutoRequest {
  readonly size: number;
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/**
 * Chooses ids that no other container of the storage has, from those that /etc/subuid and /etc/subgid give `containers`.
 * @param lent subordinate ranges; container ids in them mean nothing
 * @throws UsageError for an unknown option, or where too few ids are free
 */
export function autoMappings(
  text: string,
  lent: IdMappings,
  others: readonly ContainerRecord[],
  parseRange: (text: string) => IdRange,
): IdMappings {
  const request = parseAuto(text, parseRange);
  const used = (kind: keyof IdMappings) => others.flatMap(({ idMappings }) => idMappings?.[kind] ?? []);
  return {
    uids: fill(request.uids, request.size, [...used('uids'), ...request.uids], lent.uids),
    gids: fill(request.gids, request.size, [...used('gids'), ...request.gids], lent.gids),
  };
}

function parseAuto(text: string, parseRange: (text: string) => IdRange): AutoRequest {
  const options = text
    .replace(/^auto:?/, '')
    .split(',')
    .filter(Boolean);
  const all = (name: string) =>
    options.filter((option) => option.startsWith(`${name}=`)).map((option) => option.slice(name.length + 1));
  for (const option of options) {
    const name = option.split('=')[0] ?? '';
    if (!KNOWN.has(name)) throw usage(`unknown option specified: "${name}"`);
  }
  const size = all('size').at(-1) ?? String(MINIMUM_SIZE);
  if (!/^[1-9]\d{0,9}$/.test(size)) throw usage(`invalid size "${size}" of --userns=auto`);
  return {
    size: Number(size),
    uids: all('uidmapping').map(parseRange),
    gids: all('gidmapping').map(parseRange),
  };
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
      if (!host) throw usage(`could not find ${size} free subordinate ids for --userns=auto`);
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
