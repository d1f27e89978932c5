import { SlipwayError } from '../../../errors.ts';
import { parsePlatform, platformOf } from '../../../image/platform.ts';
import { type ImageFile, listImageFiles, readImageFile } from '../../../transport/look/files.ts';
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
/** Flags of commands that look at images without pulling them. */
export const LOOK_FLAGS: readonly FlagSpec[] = [
  ...registryFlags(),
  REGISTRIES_D_FLAG,
  ...POLICY_FLAGS,
  PLATFORM,
];

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

/** Looks at the image of a reference that the policy admits; the command declares {@link LOOK_FLAGS}. */
export async function withImage(
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
