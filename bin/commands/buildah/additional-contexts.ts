import { isAbsolute, resolve } from 'node:path';
import { isRemoteContext } from '../../../build/exec/fetch-context.ts';
import type { AdditionalContext } from '../../../build/exec/options.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { usage } from './arguments.ts';

/** `--build-context NAME=PLACE`. @throws UsageError */
export function additionalContexts({ flags, io }: CommandContext): Map<string, AdditionalContext> {
  return new Map(
    flags.list('build-context').map((text): [string, AdditionalContext] => {
      const equals = text.indexOf('=');
      if (equals <= 0)
        throw usage(
          `while parsing additional build context: ${quotedParts(text)}, accepts value in the form of key=value`,
        );
      return [text.slice(0, equals), additionalContext(text.slice(equals + 1), io.workingDirectory)];
    }),
  );
}

/** Go's `%q` of the parts on both sides of the first `=`. */
function quotedParts(text: string): string {
  const equals = text.indexOf('=');
  const parts = equals < 0 ? [text] : [text.slice(0, equals), text.slice(equals + 1)];
  return `[${parts.map((part) => JSON.stringify(part)).join(' ')}]`;
}

function additionalContext(value: string, workingDirectory: string): AdditionalContext {
  if (value === '') throw usage('while parsing additional build context: invalid build context path ""');
  const image = /^(?:docker-image|container-image|docker):\/\/(.*)$/.exec(value);
  if (image) {
    if (!image[1]) throw usage('while parsing additional build context: invalid build context image name ""');
    return { kind: 'image', reference: image[1] };
  }
  const layout = /^oci-layout:\/\/(.+)$/.exec(value)?.[1];
  if (layout !== undefined) return { kind: 'image', reference: `oci:${resolve(workingDirectory, layout)}` };
  if (isRemoteContext(value)) return { kind: 'url', url: value };
  return { kind: 'directory', path: isAbsolute(value) ? value : resolve(workingDirectory, value) };
}
