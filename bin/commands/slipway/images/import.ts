import { importArchive } from '../../../../build/images/import.ts';
import { formatReference } from '../../../../image/reference.ts';
import type { CommandSpec } from '../../../cli/contract.ts';
import { localName } from '../../buildah/local-name.ts';
import { openSession } from '../../buildah/session.ts';
import { withInput } from './load.ts';

/** `slipway import`: podman import. */
export const importCommand: CommandSpec = {
  name: 'import',
  summary: 'Make an image from an archive of a root file system',
  usage: '[flags] PATH|URL|- [REFERENCE]',
  examples: [
    'slipway import rootfs.tar.gz app',
    'tar c -C rootfs . | slipway import --change CMD=/bin/sh - app',
  ],
  args: { min: 1, max: 2 },
  flags: [
    { name: 'arch', kind: 'string', usage: 'architecture of the image' },
    {
      name: 'change',
      short: 'c',
      kind: 'array',
      usage: 'apply this `INSTRUCTION`, as in CMD=/bin/sh or "ENV A=b"',
    },
    { name: 'message', short: 'm', kind: 'string', usage: 'comment in the history' },
    { name: 'os', kind: 'string', usage: 'operating system of the image' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
    { name: 'variant', kind: 'string', usage: 'variant of the architecture' },
  ],
  run: async (context) => {
    const { flags } = context;
    const [path = '', name] = context.args;
    await using session = await openSession(context, {
      flags: importCommand.flags,
      quiet: flags.bool('quiet'),
    });
    const options = {
      ...(name ? { name: formatReference(localName(name)) } : {}),
      changes: flags.list('change').map(instruction),
      message: flags.string('message'),
    };
    const id = /^https?:\/\//.test(path)
      ? await importArchive(session.surroundings, path, options)
      : await withInput(context, path, (file) => importArchive(session.surroundings, file, options));
    context.print(`sha256:${id}`);
  },
};

/** Docker and Podman take `CMD=value` beside `CMD value`. */
function instruction(text: string): string {
  return text.replace(/^\s*([A-Za-z]+)=/, '$1 ');
}
