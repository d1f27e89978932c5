import type { Stage } from './stages.ts';

/** Finds stages by name in the time of a lookup, however many there are. */
export class StageNames {
  readonly #stages: Stage[] = [];
  readonly #exact = new Map<string, number[]>();
  readonly #folded = new Map<string, number[]>();

  constructor(stages: readonly Stage[] = []) {
    for (const stage of stages) this.add(stage);
  }

  add(stage: Stage): void {
    const { name, named } = stage;
    const at = this.#stages.push(stage) - 1;
    append(this.#exact, name, at);
    if (named) append(this.#folded, name.toLowerCase(), at);
  }

  /**
   * The last stage of that name, else the one of that index; names that differ in case alone count as the same.
   * @param range positions to look in: from `after` + 1 to `before` - 1
   */
  find(name: string, range: { readonly after?: number; readonly before?: number } = {}): Stage | undefined {
    const { after = -1, before = this.#stages.length } = range;
    const within = (at: number) => at > after && at < before;
    const at =
      this.#exact.get(name)?.findLast(within) ??
      this.#folded.get(name.toLowerCase())?.findLast(within) ??
      (/^\d+$/.test(name) && within(Number(name)) ? Number(name) : undefined);
    return at === undefined ? undefined : this.#stages[at];
  }
}

function append(map: Map<string, number[]>, key: string, value: number): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
