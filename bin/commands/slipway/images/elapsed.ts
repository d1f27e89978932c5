const STEPS: readonly (readonly [number, string])[] = [
  [365.25 * 86_400, 'year'],
  [30 * 86_400, 'month'],
  [7 * 86_400, 'week'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** docker/go-units HumanDuration with `ago`: `About an hour ago`, `2 weeks ago`, `Less than a second ago`. */
export function elapsed(created: string | undefined, nowMs: number): string {
  if (!created) return 'N/A';
  const seconds = Math.floor((nowMs - Date.parse(created)) / 1000);
  if (Number.isNaN(seconds)) return 'N/A';
  if (seconds < 1) return 'Less than a second ago';
  if (seconds === 1) return '1 second ago';
  if (seconds >= 60 && seconds < 120) return 'About a minute ago';
  if (seconds >= 3600 && seconds < 7200) return 'About an hour ago';
  const limits: Record<string, number> = {
    year: 2,
    month: 2,
    week: 2,
    day: 2,
    hour: 2,
    minute: 2,
    second: 2,
  };
  for (const [length, unit] of STEPS) {
    const count = Math.floor(seconds / length);
    if (count >= (limits[unit] as number)) return `${count} ${unit}s ago`;
  }
  return `${seconds} seconds ago`;
}
