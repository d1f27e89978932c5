import type { ToolSpec } from './cli/contract.ts';
import { logrusLine } from './cli/log-line.ts';
import { main } from './cli/main.ts';
import { packageVersion } from './cli/version.ts';
import { withGlobals } from './commands/skopeo/exit-code.ts';
import { GLOBAL_FLAGS } from './commands/skopeo/global-flags.ts';

/** The Skopeo whose command line this is; scripts read the third word of `--version`. */
const COMPATIBLE_VERSION = '1.22.0';

/** Skopeo's commands. Each loads when it is called. */
export const skopeo: ToolSpec = {
  name: 'skopeo',
  version: `${COMPATIBLE_VERSION} (slipway ${packageVersion()})`,
  summary: 'Various operations with container images and container image registries',
  usage: '[flags]',
  failureExitCode: 1,
  formatError: (message) =>
    logrusLine('fatal', message, { terminal: process.stderr.isTTY === true, now: new Date() }),
  refuseCommand,
  flags: GLOBAL_FLAGS,
  commands: [
    {
      name: 'completion',
      summary: 'Print a completion script for a shell',
      hidden: true,
      load: async () => (await import('./commands/skopeo/completion.ts')).completion,
    },
    {
      name: 'copy',
      summary: 'Copy an image from one place to another',
      load: async () => withGlobals((await import('./commands/skopeo/copy.ts')).copy),
    },
    {
      name: 'delete',
      summary: 'Delete an image',
      load: async () => withGlobals((await import('./commands/skopeo/delete.ts')).remove),
    },
    {
      name: 'experimental-image-proxy',
      summary: 'Fetch images for the program at the other end of a socket',
      hidden: true,
      load: async () => withGlobals((await import('./commands/skopeo/image-proxy.ts')).imageProxy),
    },
    {
      name: 'generate-sigstore-key',
      summary: 'Generate a sigstore key pair',
      load: async () =>
        withGlobals((await import('./commands/skopeo/generate-sigstore-key.ts')).generateSigstoreKey),
    },
    {
      name: 'inspect',
      summary: 'Show what an image says about itself',
      load: async () => withGlobals((await import('./commands/skopeo/inspect.ts')).inspect),
    },
    {
      name: 'layers',
      summary: 'Save the layers of an image into a new directory; use copy instead',
      hidden: true,
      load: async () => withGlobals((await import('./commands/skopeo/layers.ts')).layers),
    },
    {
      name: 'list-tags',
      summary: 'List the tags of a repository or an archive',
      load: async () => withGlobals((await import('./commands/skopeo/list-tags.ts')).listTagsCommand),
    },
    {
      name: 'login',
      summary: 'Log in to a registry',
      load: async () => withGlobals((await import('./commands/skopeo/login.ts')).loginCommand),
    },
    {
      name: 'logout',
      summary: 'Log out of a registry',
      load: async () => withGlobals((await import('./commands/skopeo/login.ts')).logoutCommand),
    },
    {
      name: 'manifest-digest',
      summary: 'Compute the digest of a manifest in a file',
      load: async () =>
        withGlobals((await import('./commands/skopeo/manifest-digest.ts')).manifestDigestCommand),
    },
    {
      name: 'standalone-sign',
      summary: 'Create a signature using local files',
      load: async () => withGlobals((await import('./commands/skopeo/standalone.ts')).standaloneSign),
    },
    {
      name: 'standalone-verify',
      summary: 'Verify a signature using local files',
      load: async () => withGlobals((await import('./commands/skopeo/standalone.ts')).standaloneVerify),
    },
    {
      name: 'sync',
      summary: 'Synchronize images from one place to another',
      load: async () => withGlobals((await import('./commands/skopeo/sync.ts')).sync),
    },
    {
      name: 'untrusted-signature-dump-without-verification',
      summary: 'Show what a signature claims WITHOUT VERIFYING IT',
      hidden: true,
      load: async () => withGlobals((await import('./commands/skopeo/standalone.ts')).untrustedDump),
    },
  ],
};

function refuseCommand(word: string | undefined, near: readonly string[]): string {
  const what =
    word === undefined ? "Missing command 'skopeo COMMAND'" : `Unrecognized command \`skopeo ${word}\``;
  const hint = near.length ? `\nDid you mean this?\n\t${near.join('\n\t')}\n` : '';
  return `${what}\n${hint ? `${hint}\n` : ''}Try 'skopeo --help' for more information`;
}

/** Runs the tool as this process. */
export async function start(): Promise<void> {
  await main(skopeo);
}

if (import.meta.main) void start();
