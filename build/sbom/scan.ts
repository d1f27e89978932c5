import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { Writable } from 'node:stream';
import { isSystemError } from '../../errors.ts';
import type { BuildSurroundings, PullPolicy, WorkingContainer } from '../container/contract.ts';
import { createContainer } from '../container/create.ts';
import { withMount } from '../container/mount.ts';
import { BuildError } from '../error.ts';
import { shellWords } from '../parse/shell-words.ts';
import type { IsolationKind, RunMount } from '../run/contract.ts';
import { runCommand } from '../run/run.ts';
import { mergeSboms } from './merge.ts';
import type { SbomOptions } from './options.ts';

const LARGEST_BYTES = 256 * 1024 * 1024;

/** How the scanner itself is pulled and run. */
export interface ScanSettings {
  readonly isolation: IsolationKind;
  readonly runtime?: string;
  readonly pullPolicy?: PullPolicy;
  readonly stderr: Writable;
}

/** The scans' results as host files, to be added to an image under the given paths; gone when disposed. */
export interface ScanResult extends AsyncDisposable {
  readonly imageFiles: Readonly<Record<string, string>>;
}

/**
 * Runs a scanner image over a root file system and the build's contexts, and writes the lists that are wanted on the
 * host. The scanner sees both read-only.
 * @throws BuildError `run-failed` where the scanner fails
 */
export async function scanRootfs(
  surroundings: BuildSurroundings,
  rootfs: string,
  options: SbomOptions,
  settings: ScanSettings,
): Promise<ScanResult> {
  const directory = mkdtempSync(join(surroundings.temporaryDirectory, 'slipway-scan-'));
  const dispose = async () => rmSync(directory, { recursive: true, force: true });
  try {
    const scans = join(directory, 'scans');
    mkdirSync(scans);
    chmodSync(scans, 0o777);
    const documents = await runScanner(surroundings, rootfs, options, settings, { directory, scans });
    const { document, purls } = mergeSboms(options.mergeStrategy, documents);
    const sbomFile = join(directory, `sbom-${basename(options.imageOutput || options.output || 'result')}`);
    const purlFile = join(
      directory,
      `purl-${basename(options.imagePurlOutput || options.purlOutput || 'result')}`,
    );
    writeFileSync(sbomFile, document);
    writeFileSync(purlFile, purls);
    if (options.output) writeFileSync(options.output, document);
    if (options.purlOutput) writeFileSync(options.purlOutput, purls);
    return {
      imageFiles: {
        ...(options.imageOutput ? { [options.imageOutput]: sbomFile } : {}),
        ...(options.imagePurlOutput ? { [options.imagePurlOutput]: purlFile } : {}),
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function runScanner(
  surroundings: BuildSurroundings,
  rootfs: string,
  options: SbomOptions,
  settings: ScanSettings,
  paths: { readonly directory: string; readonly scans: string },
): Promise<string[]> {
  const scanner = await createContainer(surroundings, {
    from: options.image,
    suffix: 'scanner',
    pullPolicy: settings.pullPolicy,
    isolation: settings.isolation,
  });
  try {
    await using mounted = await withMount(surroundings.store, scanner);
    const mounts: RunMount[] = [
      { type: 'bind', source: paths.scans, destination: '/.scans', options: ['rw', 'bind'] },
      { type: 'bind', source: rootfs, destination: '/.rootfs', options: ['ro', 'rbind'] },
      ...options.contextDirectories.map(
        (source, index): RunMount => ({
          type: 'bind',
          source,
          destination: `/.context${index}`,
          options: ['ro', 'rbind'],
        }),
      ),
    ];
    const commands = scanCommands(options, scanner);
    for (const [index, args] of commands.entries())
      await runOne(
        surroundings,
        mounted.rootfs,
        scanner,
        args,
        mounts,
        settings,
        join(paths.directory, `run-${index}`),
      );
    return commands.map((command, index) => readScan(paths.scans, index, command));
  } finally {
    await surroundings.store.deleteContainer(scanner.id);
  }
}

/**
 * A list that is not there would pass for an image without any package; a link would be followed on the host, and a
 * pipe waited for.
 */
function readScan(directory: string, index: number, command: readonly string[]): string {
  const path = join(directory, `scan${index}.json`);
  const refuse = (why: string, cause?: unknown) =>
    new BuildError('check-failed', `the scanner command ${JSON.stringify(command)} wrote ${why}`, { cause });
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw refuse(cause.code === 'ENOENT' ? 'no {OUTPUT}' : 'an {OUTPUT} that is no file', cause);
  }
  try {
    const status = fstatSync(file);
    if (!status.isFile()) throw refuse('an {OUTPUT} that is no file');
    if (status.size > LARGEST_BYTES) throw refuse(`an {OUTPUT} of more than ${LARGEST_BYTES} bytes`);
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** One command for each context where it names `{CONTEXT}`, else one where it names `{ROOTFS}`. */
function scanCommands(options: SbomOptions, scanner: WorkingContainer): string[][] {
  const shell = scanner.dockerConfig.config?.Shell ?? [];
  const commands: string[][] = [];
  for (const text of options.commands) {
    const words = /[<>|]/.test(text)
      ? [...(shell.length > 0 ? shell : ['/bin/sh', '-c']), text]
      : shellWords(text);
    const targets = text.includes('{CONTEXT}')
      ? options.contextDirectories.map((_, index) => ({ '{CONTEXT}': `/.context${index}` }))
      : text.includes('{ROOTFS}')
        ? [{ '{ROOTFS}': '/.rootfs' }]
        : [];
    for (const target of targets) {
      const names = { ...target, '{OUTPUT}': `/.scans/scan${commands.length}.json` };
      commands.push(
        words.map((word) =>
          Object.entries(names).reduce((done, [from, to]) => done.replaceAll(from, to), word),
        ),
      );
    }
  }
  return commands;
}

async function runOne(
  surroundings: BuildSurroundings,
  rootfs: string,
  scanner: WorkingContainer,
  args: readonly string[],
  mounts: readonly RunMount[],
  settings: ScanSettings,
  stateDirectory: string,
): Promise<void> {
  const config = scanner.ociConfig.config ?? {};
  const discard = new Writable({ write: (_chunk, _encoding, done) => done() });
  const { exitCode } = await runCommand({
    rootfs,
    stateDirectory,
    args,
    environment: config.Env ?? [],
    workingDirectory: config.WorkingDir || '/',
    user: config.User ?? '',
    mounts,
    isolation: settings.isolation,
    runtime: settings.runtime,
    network: { mode: 'host' },
    capabilities: { add: [], drop: [] },
    stdin: 'ignore',
    stdout: discard,
    stderr: settings.stderr,
    signal: surroundings.signal,
  });
  if (exitCode !== 0)
    throw new BuildError(
      'run-failed',
      `running scanning command ${JSON.stringify(args)}: exit status ${exitCode}`,
    );
}
