/**
 * A time of RFC 3339 as the String method of Go's time.Time has it: `2006-01-02 15:04:05.999 +0000 UTC`. Other text stays
 * as it is.
 */
export function goTimeText(text: string): string {
  const [, date, time, zone] = /^(\S{10})T([^Z+-]*)(.*)$/.exec(withoutTrailingZeros(text)) ?? [];
  if (date === undefined) return text;
  const offset = zone === 'Z' ? '+0000 UTC' : `${zone?.replace(':', '')} ${zone?.replace(':', '')}`;
  return `${date} ${time} ${offset}`;
}

/** As Go writes a time into JSON. */
export function withoutTrailingZeros(text: string): string {
  return text.replace(/(\.\d*?)0*(Z|[+-]\d\d:\d\d)$/, (_all, fraction: string, zone: string) =>
    fraction === '.' ? zone : fraction + zone,
  );
}
