import type { CommandEntry, ToolSpec } from './cli/contract.ts';
import { main } from './cli/main.ts';
import { GLOBAL_FLAGS } from './commands/buildah/global-flags.ts';
import { BUILDAH_LEVEL } from './commands/buildah/registry-flags.ts';
import { ensureUserNamespace } from './rootless.ts';

const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'add',
    summary: 'Add content to a working container',
    load: async () => (await import('./commands/buildah/add.ts')).add,
  },
  {
    name: 'build',
    aliases: ['bud', 'build-using-dockerfile'],
    summary: 'Build an image from a Containerfile',
    load: async () => (await import('./commands/buildah/build.ts')).build,
  },
  {
    name: 'commit',
    summary: 'Make an image of a working container',
    load: async () => (await import('./commands/buildah/commit.ts')).commit,
  },
  {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    hidden: true,
    load: async () => (await import('./commands/buildah/completion.ts')).completion,
  },
  {
    name: 'config',
    summary: 'Change the image configuration of a working container',
    load: async () => (await import('./commands/buildah/config.ts')).config,
  },
  {
    name: 'containers',
    aliases: ['list', 'ls', 'ps'],
    summary: 'List working containers and their base images',
    load: async () => (await import('./commands/buildah/containers.ts')).containers,
  },
  {
    name: 'copy',
    summary: 'Copy content into a working container',
    load: async () => (await import('./commands/buildah/add.ts')).copy,
  },
  {
    name: 'from',
    summary: 'Create a working container from an image or from scratch',
    load: async () => (await import('./commands/buildah/from.ts')).from,
  },
  {
    name: 'images',
    summary: 'List the images in local storage',
    load: async () => (await import('./commands/buildah/images.ts')).images,
  },
  {
    name: 'info',
    summary: 'Show facts about this machine and its storage',
    load: async () => (await import('./commands/buildah/info.ts')).info,
  },
  {
    name: 'inspect',
    summary: 'Show the configuration of a container or image',
    load: async () => (await import('./commands/buildah/inspect.ts')).inspect,
  },
  {
    name: 'login',
    summary: 'Log in to a registry',
    load: async () => (await import('./commands/buildah/login.ts')).login,
  },
  {
    name: 'logout',
    summary: 'Forget the credentials of a registry',
    load: async () => (await import('./commands/buildah/logout.ts')).logout,
  },
  {
    name: 'manifest',
    summary: 'Make, change and push manifest lists',
    load: async () => (await import('./commands/buildah/manifest.ts')).manifest,
  },
  {
    name: 'mkcw',
    summary: 'Convert an image to a confidential workload (not supported)',
    load: async () => (await import('./commands/buildah/mkcw.ts')).mkcw,
  },
  {
    name: 'mount',
    summary: "Mount a working container's root file system",
    load: async () => (await import('./commands/buildah/mount.ts')).mount,
  },
  {
    name: 'prune',
    summary: 'Remove images without a name that nothing uses, and the cache of builds',
    load: async () => (await import('./commands/buildah/prune.ts')).prune,
  },
  {
    name: 'pull',
    summary: 'Pull an image into local storage',
    load: async () => (await import('./commands/buildah/pull.ts')).pull,
  },
  {
    name: 'push',
    summary: 'Push an image from local storage to another place',
    load: async () => (await import('./commands/buildah/push.ts')).push,
  },
  {
    name: 'rename',
    summary: 'Give a working container another name',
    load: async () => (await import('./commands/buildah/rename.ts')).rename,
  },
  {
    name: 'rm',
    aliases: ['delete'],
    summary: 'Remove working containers',
    load: async () => (await import('./commands/buildah/rm.ts')).rm,
  },
  {
    name: 'rmi',
    summary: 'Remove images from local storage',
    load: async () => (await import('./commands/buildah/rmi.ts')).rmi,
  },
  {
    name: 'rpc',
    summary: 'Run a command with an RPC server beside it',
    hidden: true,
    load: async () => (await import('./commands/buildah/rpc.ts')).rpc,
  },
  {
    name: 'run',
    summary: 'Run a command inside a working container',
    load: async () => (await import('./commands/buildah/run.ts')).run,
  },
  {
    name: 'source',
    summary: 'Make, push and pull source images',
    load: async () => (await import('./commands/buildah/source.ts')).source,
  },
  {
    name: 'tag',
    summary: 'Add names to an image',
    load: async () => (await import('./commands/buildah/tag.ts')).tag,
  },
  {
    name: 'umount',
    aliases: ['unmount'],
    summary: 'Unmount the root file systems of working containers',
    load: async () => (await import('./commands/buildah/umount.ts')).umount,
  },
  {
    name: 'unshare',
    summary: 'Run a command in a modified user namespace',
    load: async () => (await import('./commands/buildah/unshare.ts')).unshare,
  },
  {
    name: 'version',
    summary: 'Show versions',
    load: async () => (await import('./commands/buildah/version.ts')).version,
  },
];

/** The drop-in for Buildah. Commands load when they are called. */
export const buildah: ToolSpec = {
  name: 'buildah',
  version: `${BUILDAH_LEVEL} (image-spec 1.1.1, runtime-spec 1.2.1)`,
  summary: 'Build OCI and Docker images, from Containerfiles or step by step',
  usage: '[flags]',
  failureExitCode: 125,
  formatError: (message) => `Error: ${message}\n`,
  flags: GLOBAL_FLAGS,
  commands: COMMANDS,
};

/** Runs the tool as this process, in a user namespace where the user needs one. */
export async function start(): Promise<void> {
  ensureUserNamespace(process.argv.slice(2), process.env);
  await main(buildah);
}

if (import.meta.main) void start();
