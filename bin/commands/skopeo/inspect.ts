import type { DigestAlgorithm } from '../../../image/digest.ts';
import type { ImageSource, TransportContext } from '../../../transport/contract.ts';
import type { ImageInspection } from '../../../transport/inspect.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { shownAs } from '../../cli/template/format.ts';
import { GoTime } from '../../cli/template/go-time.ts';
import { imageFlags, transportContext } from '../../cli/transport-context.ts';
import { commandSignal, parseName, prefixed, RETRY_FLAGS, retryOptions, warn } from './surroundings.ts';

/** `skopeo inspect`. */
export const inspect: CommandSpec = {
  name: 'inspect',
  summary: 'Show what an image says about itself',
  usage: '[command options] IMAGE-NAME',
  examples: [
    'skopeo inspect docker://registry.example.com/app',
    'skopeo inspect --config oci:layout:latest',
    'skopeo inspect --format "{{.Name}}@{{.Digest}}" docker://registry.example.com/app',
  ],
  args: { min: 1, max: 1, message: 'Exactly one argument expected' },
  flags: [
    ...registryFlags(),
    ...imageFlags(),
    ...RETRY_FLAGS,
    { name: 'raw', kind: 'bool', usage: 'print the manifest, or with --config the configuration, as it is' },
    { name: 'config', kind: 'bool', usage: 'print the configuration in OCI form' },
    { name: 'format', short: 'f', kind: 'string', usage: 'print through the Go template `FORMAT`' },
    { name: 'no-tags', short: 'n', kind: 'bool', usage: 'do not ask for the tags of the repository' },
    {
      name: 'manifest-digest',
      kind: 'string',
      usage: 'compute the manifest digest with `ALGORITHM`: sha256, sha384 or sha512',
    },
  ],
  run: runInspect,
};

async function runInspect(context: CommandContext): Promise<void> {
  const { flags } = context;
  if (flags.bool('raw') && flags.string('format') !== '')
    throw new UsageError('usage', 'raw output does not support format option');
  const algorithm = readAlgorithm(flags.string('manifest-digest'));
  const signal = commandSignal(context);
  const surroundings = transportContext(context, { signal });
  const name = context.args[0] as string;
  const { withRetries } = await import('../../../transport/retry.ts');
  await withRetries(
    name,
    async () => {
      const reference = await parseName(context, name, 'Error parsing image name', JSON.stringify(name));
      await using source = await reference
        .openSource(surroundings)
        .catch(prefixed(`Error parsing image name ${JSON.stringify(name)}`));
      await show(context, source, surroundings, algorithm);
    },
    retryOptions(context, signal),
  );
}

function readAlgorithm(text: string): DigestAlgorithm | undefined {
  if (text === '') return undefined;
  if (text === 'sha256' || text === 'sha384' || text === 'sha512') return text;
  throw new UsageError('usage', `digest algorithm ${JSON.stringify(text)} is not available`);
}

async function show(
  context: CommandContext,
  source: ImageSource,
  surroundings: TransportContext,
  algorithm: DigestAlgorithm | undefined,
): Promise<void> {
  const { flags, io } = context;
  const library = await import('../../../transport/inspect.ts');
  if (flags.bool('raw') && !flags.bool('config')) {
    const { readManifest } = await import('../../../transport/read-manifest.ts');
    const { bytes } = await readManifest(source).catch(prefixed('Error retrieving manifest for image'));
    io.stdout.write(bytes);
    return;
  }
  if (flags.bool('config')) {
    const image = await library.openImage(source, surroundings);
    if (flags.bool('raw'))
      io.stdout.write(
        await library
          .readConfigBytes(source, image, surroundings.signal)
          .catch(prefixed('Error reading configuration blob')),
      );
    else {
      const { ociConfigBytes } = await import('../../../image/convert.ts');
      const config = await library
        .readImageConfig(source, image, surroundings.signal)
        .catch(prefixed('Error reading OCI-formatted configuration data'));
      const { configForTemplate } = await import('./config-view.ts');
      await output(context, configForTemplate(ociConfigBytes(config)));
    }
    return;
  }
  const [inspection, tags] = await Promise.all([
    library.inspectImage(source, surroundings, algorithm),
    flags.bool('no-tags') ? [] : repositoryTags(context, source, surroundings),
  ]);
  await output(context, view(inspection, tags));
}

/** Some registries forbid or lack tag listing; that does not spoil the rest. */
async function repositoryTags(
  context: CommandContext,
  source: ImageSource,
  surroundings: TransportContext,
): Promise<readonly string[]> {
  if (source.reference.transport !== 'docker') return [];
  const { listTags } = await import('../../../transport/tags.ts');
  const { TransportError } = await import('../../../transport/error.ts');
  try {
    return await listTags(source.reference, surroundings);
  } catch (error) {
    if (!(error instanceof TransportError) || !['denied', 'not-found', 'unsupported'].includes(error.code))
      return prefixed('Error determining repository tags')(error);
    warn(context, 'Registry disallows tag list retrieval; skipping');
    return [];
  }
}

/** Fields, names and order of Skopeo's output. */
function view(image: ImageInspection, tags: readonly string[]): Record<string, unknown> {
  const map = (values: Readonly<Record<string, string>> | undefined) =>
    values ? new Map(Object.entries(values)) : shownAs(null, new Map());
  const fields = {
    Name: image.name ?? '',
    Tag: image.tag ?? '',
    Digest: image.digest,
    RepoTags: tags,
    Created: image.created === undefined ? null : new GoTime(image.created),
    DockerVersion: image.dockerVersion,
    Labels: map(image.labels),
    Architecture: image.architecture,
    Os: image.os,
    Layers: image.layers.map(({ digest }) => digest),
    LayersData: image.layers.map(({ mediaType, digest, size, annotations }) => ({
      MIMEType: mediaType,
      Digest: digest,
      Size: size,
      Annotations: map(annotations),
    })),
    Env: image.env ?? shownAs(null, []),
  };
  const { Name, Tag, ...rest } = fields;
  return shownAs({ ...(Name ? { Name } : {}), ...(Tag ? { Tag } : {}), ...rest }, fields);
}

/** A string of a template with a line end in it, where `\\n` was written: the original then takes the format as it is. */
const BROKEN_STRING = /\{\{(?:[^"`}]|`[^`]*`|"(?:[^"\\\n]|\\[^\n])*")*"(?:[^"\\\n]|\\[^\n])*\n/;

async function output(context: CommandContext, data: Record<string, unknown>): Promise<void> {
  const format = context.flags.string('format');
  const { goJsonText } = await import('../../../image/go-json.ts');
  if (format === '' || /^\s*(?:json|\{\{\s*json\.?\s*\}\})\s*$/.test(format)) {
    context.print(goJsonText(data, '    '));
    return;
  }
  const { renderTemplate, unescapeFormat } = await import('../../cli/template/evaluate.ts');
  const isTable = format.startsWith('table ');
  const lines = unescapeFormat(isTable ? format.replaceAll('table ', '').replaceAll(' ', '\t') : format);
  const template = BROKEN_STRING.test(lines) ? format : lines.endsWith('\n') ? lines : `${lines}\n`;
  const text = renderTemplate(template, data);
  context.write(isTable ? await inColumns(text) : text);
}

async function inColumns(text: string): Promise<string> {
  const { renderTable } = await import('../../cli/table.ts');
  const lines = text.replace(/\n$/, '').split('\n');
  return renderTable(
    lines.map((line) => line.split('\t')),
    2,
    12,
  );
}
