import { join, posix } from 'node:path';
import { BuildError } from '../error.ts';
import { chooseDevices, hooksOf, plainNode, resourcesOf } from './additions.ts';
import { chooseCapabilities } from './capabilities.ts';
import { containerIdOf } from './container-id.ts';
import type { RunMount, RunRequest } from './contract.ts';
import { generatedFiles, type NetworkOffer } from './generated-files.ts';
import { type HostFacts, mayRaiseLimits } from './host.ts';
import { chooseRlimits } from './limits.ts';
import { checkMount, MASKED_PATHS, orderMounts, READ_ONLY_PATHS, systemMounts } from './mounts.ts';
import { chooseNamespaces, hasId, hostIds, idMappings } from './namespaces.ts';
import type { RuntimeSpec, SpecIdMapping, SpecNamespaceType } from './runtime-spec.ts';
import { loadSeccomp } from './seccomp-profile.ts';
import { parseSecurityOptions, refuseLabels, withoutUnmasked } from './security-options.ts';
import { MOUNTS_FILES, subscriptionMounts } from './subscriptions.ts';
import { type ResolvedUser, resolveUser } from './user.ts';

/** A RUN worked out to the last detail, before anything happens to the root file system. */
export interface RunPlan {
  readonly spec: RuntimeSpec;
  readonly user: ResolvedUser;
  /** Host ids of the container's root and of its user, for what is made in the root file system. */
  readonly rootOwner: { readonly uid: number; readonly gid: number };
  readonly userOwner: { readonly uid: number; readonly gid: number };
  /** True where limits were asked for by name, which chroot isolation cannot set from a thread. */
  readonly ulimitsGiven: boolean;
  /** True where the caller named a seccomp profile. */
  readonly ownSeccomp: boolean;
}

/**
 * Works a request out: user, capabilities, namespaces, mounts, limits, seccomp. Writes the generated files (hosts,
 * resolv.conf, hostname, .containerenv) into the request's state directory, which exists.
 * @throws BuildError `bad-user`, `bad-mount`, `bad-option`, `unsafe-path`
 */
export async function planRun(
  request: RunRequest,
  host: HostFacts,
  network?: NetworkOffer,
): Promise<RunPlan> {
  const security = parseSecurityOptions(request.securityOptions ?? []);
  if (host.selinux) refuseLabels(security.labels);
  const user = resolveUser(request.rootfs, request.user);
  const namespaces = chooseNamespaces(request, host);
  const kinds = new Set(namespaces.map((namespace) => namespace.type));
  const chosen = chooseCapabilities({
    defaults: request.defaultCapabilities,
    ...request.capabilities,
    available: host.capabilities,
  });
  // An ordinary user gets no capabilities of his own; the bounding set stays for set-user-ID programs.
  const own = user.uid === 0 ? chosen : [];
  const mappings = kinds.has('user') ? idMappings(request, host) : undefined;
  if (!mappings && host.rootless) checkMapped(user, host);
  const rootOwner = hostIds(mappings, 0, 0);
  const added = await chooseDevices(request, host);
  const closesDevices = request.isolation === 'chroot' && !chosen.includes('CAP_MKNOD');
  const hostname = kinds.has('uts') ? (request.hostname ?? '') : '';
  const spec: RuntimeSpec = {
    ociVersion: '1.0.2',
    process: {
      ...(request.terminal ? { terminal: true } : {}),
      user: {
        uid: user.uid,
        gid: user.gid,
        additionalGids: groupsOf(request, user, mappings?.gids ?? host.gidMap),
      },
      args: request.args,
      env: [...environmentOf(request, user, hostname), ...added.environment],
      cwd: posix.resolve('/', request.workingDirectory || '/'),
      capabilities: { bounding: chosen, effective: own, permitted: own, inheritable: [], ambient: [] },
      rlimits: chooseRlimits(request.limits, {
        limitsText: host.limitsText,
        mayRaise: mayRaiseLimits(host),
        rootless: host.rootless,
      }),
      noNewPrivileges: security.noNewPrivileges,
      ...(security.apparmor ? { apparmorProfile: security.apparmor } : {}),
    },
    root: { path: request.rootfs },
    ...(hostname === '' ? {} : { hostname }),
    mounts: orderMounts([
      ...request.mounts.map((mount) =>
        checkMount(mount.foreign && closesDevices ? withoutDevices(mount) : mount),
      ),
      ...added.mounts,
      ...subscriptionMounts(
        request.mountsFiles ?? MOUNTS_FILES,
        join(request.stateDirectory, 'automatic'),
        rootOwner,
      ),
      ...generatedFiles(request, { kinds, hostname, owner: rootOwner, host, network }),
      ...systemMounts({
        namespaces: kinds,
        ownsNetwork: namespaces.some(({ type, path }) => type === 'network' && path === undefined),
        rootless: host.rootless,
        hasGroup5: hasId(mappings?.gids ?? host.gidMap, 5),
        shmSizeBytes: request.limits?.shmSizeBytes,
      }),
    ]),
    ...hooksOf(request, added),
    ...(keepsGroups(request) ? { annotations: { 'run.oci.keep_original_groups': '1' } } : {}),
    linux: {
      namespaces,
      ...(mappings ? { uidMappings: mappings.uids, gidMappings: mappings.gids } : {}),
      maskedPaths: withoutUnmasked([...MASKED_PATHS, ...security.masked], security.unmasked),
      readonlyPaths: READ_ONLY_PATHS,
      ...sysctlsOf(request, kinds, request.network.path === undefined),
      ...cgroupPathOf(request),
      ...(added.nodes.length > 0 ? { devices: added.nodes.map(plainNode) } : {}),
      resources: resourcesOf(request, host, added),
      seccomp: await loadSeccomp(security.seccomp, chosen),
    },
  };
  return {
    spec,
    user,
    rootOwner,
    userOwner: hostIds(mappings, user.uid, user.gid),
    ulimitsGiven: (request.limits?.ulimits?.length ?? 0) > 0,
    ownSeccomp: security.seccomp !== undefined,
  };
}

function withoutDevices(mount: RunMount): RunMount {
  return { ...mount, options: [...mount.options, 'nodev'] };
}

/** Below the given parent; systemd's form is slice:prefix:name. */
function cgroupPathOf(request: RunRequest): { cgroupsPath?: string } {
  const parent = request.limits?.cgroupParent;
  if (!parent) return {};
  const id = containerIdOf(request.stateDirectory);
  if (request.cgroupManager === 'systemd')
    return { cgroupsPath: `${parent}:buildah:${id.slice('buildah-'.length)}` };
  return { cgroupsPath: posix.join(parent, id) };
}

/** @throws BuildError `bad-user` for an id that this process's user namespace does not have */
function checkMapped(user: ResolvedUser, host: HostFacts): void {
  const hint = 'Give the user more ids in /etc/subuid and /etc/subgid.';
  if (!hasId(host.uidMap, user.uid))
    throw new BuildError('bad-user', `the user id ${user.uid} is not mapped in this user namespace`, {
      hint,
    });
  if (!hasId(host.gidMap, user.gid))
    throw new BuildError('bad-user', `the group id ${user.gid} is not mapped in this user namespace`, {
      hint,
    });
}

/** Stands alone among the groups: the processes keep those of the caller, where the runtime knows how. */
const KEEP_GROUPS = 'keep-groups';

/** @throws BuildError `bad-user` for other groups beside it */
function keepsGroups({ additionalGroups: given = [] }: RunRequest): boolean {
  if (!given.includes(KEEP_GROUPS)) return false;
  if (given.length === 1) return true;
  throw new BuildError(
    'bad-user',
    "the '--group-add keep-groups' option is not allowed with any other --group-add options",
  );
}

/** Supplementary groups; those of the image that the user namespace lacks are left out. */
function groupsOf(request: RunRequest, user: ResolvedUser, mapped: readonly SpecIdMapping[]): number[] {
  const given = keepsGroups(request) ? [] : (request.additionalGroups ?? []);
  const added = given.map((group) => {
    if (/^[0-9]{1,10}$/.test(group) && Number(group) < 0xffff_ffff) return Number(group);
    throw new BuildError('bad-user', `the additional group "${group}" is not a group id`);
  });
  return [...new Set([...user.groups, ...added])].filter((gid) => hasId(mapped, gid));
}

/** Only `NAME=value` entries; anything else would be filled from a host's environment by careless code (SECURITY B16). */
function environmentOf(request: RunRequest, user: ResolvedUser, hostname: string): string[] {
  const given = request.environment.filter((entry) => /^[^=\0]+=[^\0]*$/s.test(entry));
  const has = (name: string) => given.some((entry) => entry.startsWith(`${name}=`));
  if (!has('PATH')) given.push('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
  if (!has('HOSTNAME')) given.push(`HOSTNAME=${hostname}`);
  if (!has('HOME')) given.push(`HOME=${user.home}`);
  if (request.terminal && !has('TERM')) given.push('TERM=xterm');
  return given;
}

/** Each with its namespace, where that is not the host's; those of a network where it was made for this run. */
function sysctlsOf(
  request: RunRequest,
  kinds: ReadonlySet<SpecNamespaceType>,
  ownsNetwork: boolean,
): { sysctl?: Record<string, string> } {
  const owner = (name: string): SpecNamespaceType | undefined => {
    if (name.startsWith('net.')) return 'network';
    if (name.startsWith('fs.mqueue.')) return 'ipc';
    if (name === 'kernel.hostname' || name === 'kernel.domainname') return 'uts';
    return undefined;
  };
  const entries = (request.sysctls ?? []).flatMap((entry) => {
    const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(entry) ?? [];
    const kind = owner(name);
    const isOurs = kind && kinds.has(kind) && (kind !== 'network' || ownsNetwork);
    return isOurs ? [[name, value] as const] : [];
  });
  return entries.length > 0 ? { sysctl: Object.fromEntries(entries) } : {};
}
