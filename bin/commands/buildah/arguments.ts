import { UsageError } from '../../cli/error.ts';

/** Buildah refuses options behind the first argument, where its parser would take them for names. */
export function refuseLateFlags(args: readonly string[]): void {
  const late = args.find((arg) => arg.startsWith('-') && arg !== '-');
  if (late !== undefined)
    throw new UsageError('usage', `no options (${late}) can be specified after the image or container name`);
}

/** The only argument. */
export function oneArgument(args: readonly string[], missing: string): string {
  const [first] = args;
  if (first === undefined) throw new UsageError('usage', missing);
  refuseLateFlags(args);
  if (args.length > 1) throw new UsageError('usage', 'too many arguments specified');
  return first;
}

/** Milliseconds of a Go duration given as text. */
export function usage(text: string): UsageError {
  return new UsageError('usage', text);
}
