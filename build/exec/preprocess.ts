import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { isSystemError } from '../../errors.ts';
import { BuildError } from '../error.ts';

/**
 * Runs a Containerfile that ends in `.in` through the C preprocessor, with the context as include directory.
 * @throws BuildError `unsupported` where cpp is missing, `bad-context` where it gives nothing
 */
export async function preprocess(
  text: string,
  given: {
    readonly name: string;
    readonly contextDirectory: string;
    readonly flags: readonly string[];
    readonly path: string | undefined;
    readonly signal?: AbortSignal;
    readonly onWarning?: (text: string) => void;
  },
): Promise<string> {
  const args = ['-E', '-iquote', given.contextDirectory, '-traditional', '-undef', '-', ...given.flags];
  const child = spawn('cpp', args, { env: { PATH: given.path }, signal: given.signal, stdio: 'pipe' });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  const closed = once(child, 'close') as Promise<[number | null]>;
  closed.catch(() => undefined);
  child.stdin.on('error', () => undefined);
  child.stdin.end(text);
  try {
    const [output, errors] = await Promise.race([
      Promise.all([readText(child.stdout), readText(child.stderr)]),
      failed,
    ]);
    if (errors !== '') given.onWarning?.(`Ignoring ${errors.trim()}`);
    if (output === '') throw withoutOutput(given.name, errors.trim(), (await closed)[0]);
    return output;
  } catch (cause) {
    if (!isSystemError(cause, 'ENOENT')) throw cause;
    throw new BuildError(
      'unsupported',
      'cpp: executable file not found in $PATH: .in support requires cpp to be installed',
      { cause },
    );
  }
}

/** The preprocessor's exit code is the build's, as in Buildah. */
function withoutOutput(name: string, errors: string, status: number | null): BuildError {
  const [why = ''] = errors.split('\n');
  return new BuildError(
    'bad-context',
    `preprocessing ${name}: preprocessor produced no output: ${why || `exit status ${status}`}`,
    status ? { exitCode: status } : {},
  );
}
