const LIMIT = 64;

/** A container's name without what no host name has; undefined where nothing is left of it. */
export function hostnameOf(name: string): string | undefined {
  const plain = name.replace(/^[^A-Za-z0-9]+/, '').replace(/[^A-Za-z0-9.-]/g, '');
  return plain.length < 2 ? undefined : plain.slice(0, LIMIT);
}

/** What a container is called inside where nobody gave it a host name. */
export function ownHostname(
  { id, name }: { readonly id: string; readonly name: string },
  nameAsHostname: boolean | undefined,
): string {
  return (nameAsHostname && hostnameOf(name)) || id.slice(0, 12);
}
