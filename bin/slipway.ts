import type { ToolSpec } from './cli/contract.ts';
import { main } from './cli/main.ts';
import { packageVersion } from './cli/version.ts';
import { GLOBAL_FLAGS } from './commands/buildah/global-flags.ts';
import { type Adoption, adopt } from './commands/slipway/adopt.ts';
import { IMAGE_COMMANDS, STORAGE_COMMANDS } from './commands/slipway/images/commands.ts';

/** Their arguments are registries, not images. */
const NAMES: Adoption = { takesImages: false };

/** What the originals lack: the registry, artifacts, graph copies, and looks into images. Commands load when called. */
export const slipway: ToolSpec = {
  name: 'slipway',
  version: packageVersion(),
  summary: 'Build container images, move them between registries, and look into them',
  usage: '[flags]',
  failureExitCode: 1,
  formatError: (message) => `slipway: ${message}\n`,
  flags: GLOBAL_FLAGS,
  commands: [
    {
      name: 'build',
      aliases: ['bud'],
      summary: 'Build an image from a Containerfile, shown live, explained and reported',
      load: async () => (await import('./commands/slipway/build.ts')).build,
    },
    {
      name: 'cache',
      summary: 'List, remove, export and import the cache mounts of builds',
      load: async () => (await import('./commands/slipway/cache.ts')).cache,
    },
    {
      name: 'verify-repro',
      summary: 'Build twice and name the first thing in which the images differ',
      load: async () => (await import('./commands/slipway/verify-repro.ts')).verifyRepro,
    },
    {
      name: 'why',
      summary: 'Say why the last build of a context had to execute steps',
      load: async () => (await import('./commands/slipway/why.ts')).why,
    },
    {
      name: 'serve',
      summary: 'Serve a directory as an OCI registry',
      load: async () => (await import('./commands/slipway/serve.ts')).serve,
    },
    {
      name: 'artifact',
      summary: 'Push, pull, attach and discover OCI artifacts',
      load: async () => (await import('./commands/slipway/artifact.ts')).artifact,
    },
    {
      name: 'copy',
      summary: 'Copy an image, all its platforms and what refers to it',
      load: async () => (await import('./commands/slipway/copy.ts')).copy,
    },
    {
      name: 'sync',
      summary: 'Mirror repositories, with all platforms and what refers to the images',
      load: async () => (await import('./commands/slipway/sync.ts')).sync,
    },
    {
      name: 'inspect',
      summary: 'Show what an image says about itself',
      load: async () => adopt((await import('./commands/skopeo/inspect.ts')).inspect),
    },
    {
      name: 'list-tags',
      summary: 'List the tags of a repository or an archive',
      load: async () => adopt((await import('./commands/skopeo/list-tags.ts')).listTagsCommand),
    },
    {
      name: 'rm-tag',
      summary: 'Remove tags alone: the image and its other tags stay',
      load: async () => (await import('./commands/slipway/rm-tag.ts')).removeTags,
    },
    {
      name: 'delete',
      summary: 'Delete an image with all its tags',
      load: async () => adopt((await import('./commands/skopeo/delete.ts')).remove),
    },
    {
      name: 'login',
      summary: 'Log in to a registry',
      load: async () => adopt((await import('./commands/skopeo/login.ts')).loginCommand, NAMES),
    },
    {
      name: 'logout',
      summary: 'Log out of a registry',
      load: async () => adopt((await import('./commands/skopeo/login.ts')).logoutCommand, NAMES),
    },
    {
      name: 'cat',
      summary: 'Print one file of an image, reading only the layers needed',
      load: async () => (await import('./commands/slipway/look.ts')).cat,
    },
    {
      name: 'lint',
      summary: 'Check a Containerfile by the rules of BuildKit, and say which builders can build it',
      load: async () => (await import('./commands/slipway/lint.ts')).lint,
    },
    {
      name: 'ls',
      summary: 'List the files of an image without pulling it',
      load: async () => (await import('./commands/slipway/look.ts')).ls,
    },
    {
      name: 'tree',
      summary: 'Show an index, its manifests, layers and referrers as a tree',
      load: async () => (await import('./commands/slipway/tree.ts')).tree,
    },
    {
      name: 'sign',
      summary: 'Sign an image where it is, in several forms at once',
      load: async () => (await import('./commands/slipway/sign.ts')).sign,
    },
    {
      name: 'trust',
      summary: 'Show and edit which images may be read: policy.json and registries.d',
      load: async () => (await import('./commands/slipway/trust.ts')).trust,
    },
    {
      name: 'verify',
      summary: 'Show every signature of an image: by whom, over what, valid or not, and who can see it',
      load: async () => (await import('./commands/slipway/verify.ts')).verify,
    },
    ...IMAGE_COMMANDS,
  ],
};

/** Commands that change owners or mount, which a user may do in a user namespace alone. */
const IN_USER_NAMESPACE = new Set(['build', 'bud', 'verify-repro', 'cache', ...STORAGE_COMMANDS]);

/** Runs the tool as this process, in a user namespace where the command and the user need one. */
export async function start(): Promise<void> {
  const words = process.argv.slice(2);
  const names = new Set(slipway.commands?.flatMap(({ name, aliases = [] }) => [name, ...aliases]));
  const command = words.find((word) => names.has(word));
  if (command !== undefined && IN_USER_NAMESPACE.has(command)) {
    const { ensureUserNamespace } = await import('./rootless.ts');
    ensureUserNamespace(words, process.env);
  }
  await main(slipway);
}

if (import.meta.main) void start();
