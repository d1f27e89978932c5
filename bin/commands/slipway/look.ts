import { SlipwayError } from '../../../errors.ts';
import { parsePlatform, platformOf } from '../../../image/platform.ts';
import {
  compareFiles,
  type ImageFile,
  listImageFiles,
  readImageFile,
} from '../../../transport/look/files.ts';
import { type LookedAtImage, lookAtImage } from '../../../transport/look/image.ts';
import { normalizePath } from '../../../transport/look/layer.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { imagePolicy, POLICY_FLAGS, policyFlags } from '../../cli/image-policy.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../cli/signature-places.ts';
import { renderTable } from '../../cli/table.ts';
import { transportContext } from '../../cli/transport-context.ts';

const PLATFORM: FlagSpec = {
  name: 'platform',
  kind: 'string',
  usage: 'look at the image for `OS/ARCH[/VARIANT]`; default: this machine’s',
};
const LOOK_FLAGS: readonly FlagSpec[] = [...registryFlags(), REGISTRIES_D_FLAG, ...POLICY_FLAGS, PLATFORM];

/** `slipway ls`. */
export const ls: CommandSpec = {
  name: 'ls',
  summary: 'List the files of an image without pulling it',
  usage: '[flags] REFERENCE [PATH]',
  args: { min: 1, max: 2 },
  flags: [
    ...LOOK_FLAGS,
    { name: 'long', short: 'l', kind: 'bool', usage: 'show mode, owner, size, time and layer' },
  ],
  run: async (context) =>
    await withImage(context, context.args[0] as string, async (image) => {
      const files = await listImageFiles(image, context.signal);
      const root = normalizePath(context.args[1] ?? '/');
      const shown = [...files.values()]
        .filter(({ path }) => root === '' || path === root || path.startsWith(`${root}/`))
        .sort((a, b) => (a.path < b.path ? -1 : 1));
      if (shown.length === 0 && root !== '')
        throw new SlipwayError('not-found', `/${root}: no such file in the image`);
      if (context.flags.bool('long')) context.io.stdout.write(renderTable(shown.map(longRow), 2));
      else for (const { path } of shown) context.print(`/${path}`);
    }),
};

/** `slipway cat`. */
export const cat: CommandSpec = {
  name: 'cat',
  summary: 'Print one file of an image, reading only the layers needed',
  usage: '[flags] REFERENCE PATH',
  args: { min: 2, max: 2 },
  flags: LOOK_FLAGS,
  run: async (context) =>
    await withImage(context, context.args[0] as string, async (image) => {
      await readImageFile(
        image,
        context.args[1] as string,
        context.io.stdout as NodeJS.WriteStream,
        context.signal,
      );
    }),
};

/** `slipway diff`. */
export const diff: CommandSpec = {
  name: 'diff',
  summary: 'Show which files differ between two images',
  description:
    'Prints A, C and D lines, as podman does, for the files that the second image adds, changes and deletes.',
  usage: '[flags] REFERENCE REFERENCE',
  args: { min: 2, max: 2 },
  flags: [...LOOK_FLAGS, { name: 'json', kind: 'bool', usage: 'print the changes as JSON' }],
  run: async (context) => {
    const trees: ReadonlyMap<string, ImageFile>[] = [];
    for (const text of context.args)
      await withImage(
        context,
        text,
        async (image) => void trees.push(await listImageFiles(image, context.signal)),
      );
    const changes = compareFiles(
      trees[0] as ReadonlyMap<string, ImageFile>,
      trees[1] as ReadonlyMap<string, ImageFile>,
    );
    if (context.flags.bool('json')) context.print(JSON.stringify(changes));
    else for (const { kind, path } of changes) context.print(`${kind} ${path}`);
  },
};

async function withImage(
  context: CommandContext,
  text: string,
  use: (image: LookedAtImage) => Promise<void>,
): Promise<void> {
  const host = platformOf(process.platform, process.arch);
  const platform = context.flags.changed('platform')
    ? parsePlatform(context.flags.string('platform'), host)
    : host;
  const surroundings = transportContext(context, { platform });
  const policy = await imagePolicy(context, policyFlags(context.flags));
  const reference = await parseAnyReference(text, context.io.workingDirectory);
  await using source = await reference.openSource(surroundings);
  await use(await lookAtImage(policy, source, surroundings));
}

const LETTERS: Readonly<Record<ImageFile['kind'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  device: 'b',
  fifo: 'p',
  whiteout: 'w',
  opaque: 'o',
};

function longRow(file: ImageFile): string[] {
  const bits = [6, 3, 0]
    .map((shift) =>
      ['r', 'w', 'x'].map((letter, at) => ((file.mode >> shift) & (4 >> at) ? letter : '-')).join(''),
    )
    .join('');
  const time = new Date(file.modifiedMs).toISOString().slice(0, 19).replace('T', ' ');
  return [
    `${LETTERS[file.kind]}${bits}`,
    `${file.uid}:${file.gid}`,
    String(file.sizeBytes),
    time,
    `layer ${file.layerIndex}`,
    `/${file.path}${file.target ? ` -> ${file.target}` : ''}`,
  ];
}
