import { CDI_DIRECTORIES, isCdiName, resolveCdi } from './cdi.ts';
import type { RunRequest } from './contract.ts';
import { type HostDevice, readDevices } from './devices.ts';
import { chooseHooks } from './hooks.ts';
import type { HostFacts } from './host.ts';
import { chooseResources } from './limits.ts';
import type { SpecDevice, SpecHook, SpecHooks, SpecMount, SpecResources } from './runtime-spec.ts';

/** What devices, CDI and hooks add to a spec. */
export interface AddedDevices {
  readonly nodes: readonly HostDevice[];
  readonly mounts: readonly SpecMount[];
  readonly environment: readonly string[];
  readonly hooks: readonly { readonly stage: string; readonly hook: SpecHook }[];
}

/** Devices as nodes; in a user namespace, where none can be made, the host's own are bound, as Podman does. */
export async function chooseDevices(request: RunRequest, host: HostFacts): Promise<AddedDevices> {
  const given = request.devices ?? [];
  const named = given.filter(isCdiName);
  const edits =
    named.length > 0 ? await resolveCdi(named, request.cdiDirectories ?? CDI_DIRECTORIES) : undefined;
  const nodes = [
    ...given.filter((device) => !isCdiName(device)).flatMap(readDevices),
    ...(edits?.devices ?? []),
  ];
  const rest = { environment: edits?.environment ?? [], hooks: edits?.hooks ?? [] };
  if (!host.rootless) return { ...rest, nodes, mounts: edits?.mounts ?? [] };
  const bound = nodes
    .filter(({ source }) => source !== '/dev/ptmx' && !source.startsWith('/dev/tty'))
    .map(({ source, path, permissions }) => ({
      destination: path,
      type: 'bind',
      source,
      options: ['slave', 'nosuid', 'noexec', permissions.includes('w') ? 'rw' : 'ro', 'rbind'],
    }));
  return { ...rest, nodes: [], mounts: [...bound, ...(edits?.mounts ?? [])] };
}

export function plainNode({ type, path, major, minor, fileMode, uid, gid }: HostDevice): SpecDevice {
  return { type, path, major, minor, fileMode, uid, gid };
}

export function hooksOf(request: RunRequest, added: AddedDevices): { hooks?: SpecHooks } {
  const hooks = chooseHooks(request.hooksDirectories ?? [], {
    command: request.args[0] ?? '',
    annotations: request.imageAnnotations ?? {},
    hasBindMounts:
      request.mounts.some((mount) => mount.type === 'bind') || (request.volumes?.length ?? 0) > 0,
  });
  const all: Record<string, readonly SpecHook[]> = { ...hooks };
  for (const { stage, hook } of added.hooks) all[stage] = [...(all[stage] ?? []), hook];
  return Object.keys(all).length > 0 ? { hooks: all } : {};
}

/** Devices are forbidden but for the standard ones, which runtimes allow by themselves, and those given. */
export function resourcesOf(
  request: RunRequest,
  host: HostFacts,
  added: AddedDevices,
): SpecResources | undefined {
  const resources = chooseResources(request.limits);
  if (host.rootless) return resources;
  const allowed = added.nodes.map(({ type, major, minor, permissions }) => ({
    allow: true,
    type,
    major,
    minor,
    access: permissions,
  }));
  return { ...resources, devices: [{ allow: false, access: 'rwm' }, ...allowed] };
}
