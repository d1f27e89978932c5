/** When something may be relied on, milliseconds since the epoch; an absent end is open. */
export interface Validity {
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** Where no time is known (`atMs` undefined), nothing speaks against it. */
export function isWithin(
  { fromMs = -Infinity, toMs = Infinity }: Validity,
  atMs: number | undefined,
): boolean {
  return atMs === undefined || (atMs >= fromMs && atMs <= toMs);
}
