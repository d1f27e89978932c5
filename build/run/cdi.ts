import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import { BuildError } from '../error.ts';
import { type HostDevice, readDevices } from './devices.ts';
import type { SpecHook, SpecMount } from './runtime-spec.ts';

/** Directories of the Container Device Interface (cncf-tags/container-device-interface, SPEC.md 1.0), weakest first. */
export const CDI_DIRECTORIES: readonly string[] = ['/etc/cdi', '/var/run/cdi'];

/** What CDI devices add to a container. */
export interface CdiEdits {
  readonly environment: readonly string[];
  readonly devices: readonly HostDevice[];
  readonly mounts: readonly SpecMount[];
  readonly hooks: readonly { readonly stage: string; readonly hook: SpecHook }[];
}

interface ContainerEdits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly {
    readonly path: string;
    readonly hostPath?: string;
    readonly permissions?: string;
  }[];
  readonly mounts?: readonly {
    readonly hostPath: string;
    readonly containerPath: string;
    readonly options?: readonly string[];
    readonly type?: string;
  }[];
  readonly hooks?: readonly (SpecHook & { readonly hookName: string })[];
}
interface CdiSpec {
  readonly cdiVersion: string;
  readonly kind: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly devices: readonly {
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly containerEdits: ContainerEdits;
  }[];
  readonly containerEdits?: ContainerEdits;
}

/** A device that a specification of this machine describes. */
export interface CdiDevice {
  /** `vendor.com/class=name`. */
  readonly name: string;
  /** Of the specification and of the device. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Every device, by name. */
export async function listCdi(directories: readonly string[]): Promise<CdiDevice[]> {
  const specs = await readSpecs(directories);
  const devices = specs.flatMap((spec) =>
    spec.devices.map((device) => ({
      name: `${spec.kind}=${device.name}`,
      annotations: { ...spec.annotations, ...device.annotations },
    })),
  );
  return devices.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** True for `vendor.com/class=name`. */
export function isCdiName(device: string): boolean {
  return /^[A-Za-z][\w.-]*\/[A-Za-z][\w.-]*=[\w][\w.:-]*$/.test(device);
}

/**
 * Resolves qualified CDI device names.
 * @throws BuildError `bad-option` for a name that no specification has
 */
export async function resolveCdi(
  names: readonly string[],
  directories: readonly string[],
): Promise<CdiEdits> {
  const specs = await readSpecs(directories);
  const edits: ContainerEdits[] = [];
  const used = new Set<CdiSpec>();
  for (const name of names) {
    const [kind = '', device = ''] = name.split('=');
    const spec = specs.findLast(
      (one) => one.kind === kind && one.devices.some((entry) => entry.name === device),
    );
    const found = spec?.devices.find((entry) => entry.name === device);
    if (!spec || !found)
      throw new BuildError('bad-option', `CDI device injection: unresolvable CDI devices ${name}`);
    if (!used.has(spec) && spec.containerEdits) edits.push(spec.containerEdits);
    used.add(spec);
    edits.push(found.containerEdits);
  }
  return merge(edits);
}

function merge(edits: readonly ContainerEdits[]): CdiEdits {
  return {
    environment: edits.flatMap((edit) => edit.env ?? []),
    devices: edits.flatMap((edit) =>
      (edit.deviceNodes ?? []).flatMap((node) =>
        readDevices(`${node.hostPath ?? node.path}:${node.path}:${node.permissions ?? 'rwm'}`),
      ),
    ),
    mounts: edits.flatMap((edit) =>
      (edit.mounts ?? []).map((mount) => ({
        destination: mount.containerPath,
        source: mount.hostPath,
        type: mount.type ?? 'bind',
        options: [...(mount.options ?? ['bind'])],
      })),
    ),
    hooks: edits.flatMap((edit) =>
      (edit.hooks ?? []).map(({ hookName, ...hook }) => ({ stage: hookName, hook })),
    ),
  };
}

async function readSpecs(directories: readonly string[]): Promise<CdiSpec[]> {
  const specs: CdiSpec[] = [];
  for (const directory of directories) {
    for (const name of listed(directory)) {
      const path = join(directory, name);
      const text = readFileSync(path, 'utf8');
      const value: unknown = name.endsWith('.json') ? JSON.parse(text) : (await import('yaml')).parse(text);
      if (isSpec(value)) specs.push(value);
    }
  }
  return specs;
}

function listed(directory: string): string[] {
  const names = ifThere(() => readdirSync(directory), 'ENOENT', 'ENOTDIR', 'EACCES') ?? [];
  return names.filter((name) => /\.(json|ya?ml)$/.test(name)).sort();
}

function isSpec(value: unknown): value is CdiSpec {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, devices } = value as Partial<CdiSpec>;
  return typeof kind === 'string' && Array.isArray(devices);
}
