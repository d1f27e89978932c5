/**
 * docker/go-units RAMInBytes: `10m`, `1.5GB`, `512 KiB`, `1e3`, `.5g`, bytes without a unit; undefined for other text.
 */
export function byteSize(text: string): number | undefined {
  const match = /^\+?((?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?) ?(?:b|([kmgtp])(?:i?b)?)?$/i.exec(text);
  if (!match) return undefined;
  const power = 'kmgtp'.indexOf(match[2]?.toLowerCase() ?? '-') + 1;
  const bytes = Math.floor(Number(match[1]) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
