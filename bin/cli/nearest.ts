/** The candidates within two edits of `word` or starting with it, as cobra suggests them. */
export function suggestions(word: string, candidates: readonly string[]): string[] {
  const lower = word.toLowerCase();
  return candidates.filter(
    (candidate) =>
      editDistance(lower, candidate.toLowerCase(), 2) <= 2 || candidate.toLowerCase().startsWith(lower),
  );
}

/** Levenshtein distance; anything above `limit` is reported as `limit + 1`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return Math.min(row[b.length] as number, limit + 1);
}
