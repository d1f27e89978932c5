import type { WorkingContainer } from '../../../build/container/contract.ts';
import { describeImage } from '../../../build/container/create.ts';
import { imageNotKnown } from '../../../build/container/find-image.ts';
import { findLocalImage } from '../../../build/container/pull.ts';
import { readStoredImage } from '../../../build/container/stored-image.ts';
import { BuildError } from '../../../build/error.ts';
import type { SlipwayError } from '../../../errors.ts';
import { goJsonText } from '../../../image/go-json.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { renderTemplate } from '../../cli/template/evaluate.ts';
import { oneArgument, usage } from './arguments.ts';
import { findContainer } from './containers-in-store.ts';
import { inspectData } from './inspect-data.ts';
import { inspectList } from './manifest/inspect.ts';
import { openSession, type Session } from './session.ts';

export const inspect: CommandSpec = {
  name: 'inspect',
  summary: 'Show the configuration of a container or image',
  usage: '[flags] NAME',
  examples: ['buildah inspect work', "buildah inspect --type image --format '{{.OCIv1.Config.Env}}' alpine"],
  flags: [
    { name: 'format', short: 'f', kind: 'string', usage: 'print by this Go `TEMPLATE`' },
    {
      name: 'type',
      short: 't',
      kind: 'string',
      default: 'container',
      usage: 'what the name means: `container`, image or manifest',
    },
  ],
  interspersed: false,
  run: runInspect,
};

async function runInspect(context: CommandContext): Promise<void> {
  const name = oneArgument(context.args, 'container or image name must be specified');
  const format = context.flags.string('format');
  await using session = await openSession(context);
  if (context.flags.string('type') === 'manifest') {
    context.print(goJsonText(await inspectList(session, name), '    '));
    return;
  }
  const found = await subject(context, session, name);
  if (found instanceof Uint8Array) {
    context.io.stdout.write(`${JSON.stringify(JSON.parse(Buffer.from(found).toString()), null, 4)}\n`);
    return;
  }
  if (format === '') {
    context.print(goJsonText(inspectData(found, 'json'), '    '));
    return;
  }
  if (!/\{\{.*\}\}/s.test(format)) throw usage(`invalid format provided: ${format}`);
  const text = renderTemplate(format, inspectData(found, 'template'));
  context.io.stdout.write(context.io.stdout.isTTY ? `${text}\n` : text);
}

/** What the name stands for: a container, an image as if it were one, or the bytes of a manifest list. */
async function subject(
  context: CommandContext,
  session: Session,
  name: string,
): Promise<WorkingContainer | Uint8Array> {
  const { flags } = context;
  switch (flags.string('type')) {
    case 'container':
      try {
        return await findContainer(session, name);
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
        if (flags.changed('type')) throw prefixed(error);
        return image(session, name, true);
      }
    case 'image':
      return image(session, name, false);
    default:
      throw usage('the only recognized types are "container" and "image"');
  }
}

function prefixed(error: SlipwayError): BuildError {
  const text = error.message.replace(/^reading build container "[^"]*": /, '');
  return new BuildError('no-such-container', `reading build container: ${text}`, { cause: error });
}

async function image(
  session: Session,
  name: string,
  mayBeList: boolean,
): Promise<WorkingContainer | Uint8Array> {
  const found = await findLocalImage(session.surroundings, name);
  if (!found)
    throw new BuildError(
      'pull-failed',
      `importing settings: locating image "${name}" in local storage: ${imageNotKnown(name).message}`,
    );
  const stored = await readStoredImage(session.store, found.record);
  if (stored.manifest.kind === 'index') {
    if (!mayBeList) throw noInstance(session);
    return stored.manifestBytes;
  }
  return describeImage(session.surroundings, found.record);
}

function noInstance({ surroundings }: Session): BuildError {
  const { architecture, variant = '', os } = surroundings.platform;
  return new BuildError(
    'pull-failed',
    `no image found in manifest list for architecture "${architecture}", variant "${variant}", OS "${os}": image not known`,
  );
}
