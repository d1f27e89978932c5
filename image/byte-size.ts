/** docker/go-units RAMInBytes: `10m`, `1.5GB`, `512k`, bytes without a unit; undefined for other text. */
export function byteSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s?([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const power = 'kmgtp'.indexOf((match[2] as string).toLowerCase() || '-') + 1;
  return Math.floor(Number(match[1]) * 1024 ** power);
}
