import type { ContainerRecord } from '../../store/storage/contract.ts';

/**
 * The first part of a container's generated name: the last path component of an image name without tag and digest,
 * or the start of an id.
 */
export function imageNamePrefix(imageName: string): string {
  const digest = /^[a-z0-9]+:([0-9a-f]{32,})$/.exec(imageName);
  const text = digest ? (digest[1] as string).slice(0, 12) : imageName;
  const short = /^[0-9a-f]{64}$/.test(text) ? text.slice(0, 12) : text;
  const withoutTag = short.split(':')[0] as string;
  const last = withoutTag.slice(withoutTag.lastIndexOf('/') + 1);
  return last.split('@')[0] as string;
}

/** `name`, or the first free of `name-1`, `name-2`, … */
export function unusedContainerName(name: string, containers: readonly ContainerRecord[]): string {
  const taken = new Set(containers.flatMap((container) => container.names));
  if (!taken.has(name)) return name;
  let suffix = 1;
  while (taken.has(`${name}-${suffix}`)) suffix += 1;
  return `${name}-${suffix}`;
}

/** The image's own name that contains the given one, else its first; the given one for an image without names. */
export function imageDisplayName(given: string, names: readonly string[]): string {
  return names.find((name) => name.includes(given)) ?? names[0] ?? given;
}
