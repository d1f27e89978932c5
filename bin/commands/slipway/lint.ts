import { formatBuilders, formatReport, reportData } from '../../../build/lint/format.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { checkFiles, exitCodeOf } from '../buildah/check.ts';
import { openSession } from '../buildah/session.ts';

const FLAGS: readonly FlagSpec[] = [
  { name: 'file', short: 'f', kind: 'slice', usage: 'lint this `FILE` of the context, - is stdin' },
  { name: 'format', kind: 'string', default: 'plain', usage: 'print `plain` lines or json' },
  {
    name: 'build-arg',
    kind: 'array',
    usage: 'lint as if this argument `NAME=VALUE` were given to the build',
  },
  { name: 'build-arg-file', kind: 'array', usage: 'read such arguments from this `FILE`' },
  {
    name: 'build-context',
    kind: 'array',
    usage: 'a name that `NAME=…` of the build gives to a further context',
  },
  { name: 'target', kind: 'string', usage: 'only this `STAGE` and those that it needs' },
  { name: 'platform', kind: 'slice', usage: 'lint as for this `PLATFORM`' },
  { name: 'ignorefile', kind: 'string', usage: 'read ignore rules from this `FILE`' },
  {
    name: 'cpp-flag',
    kind: 'array',
    usage: 'pass this flag to the C preprocessor for files that end in .in',
  },
  { name: 'offline', kind: 'bool', usage: 'ask no registry for base images that are not here' },
  {
    name: 'builders',
    kind: 'bool',
    default: true,
    usage: 'say which builders can build the file, and what keeps the others from it',
  },
];

/** `slipway lint`. */
export const lint: CommandSpec = {
  name: 'lint',
  summary: 'Check a Containerfile by the rules of BuildKit, and say which builders can build it',
  description:
    'Checks a Containerfile, or the one of a context directory, by the 22 rules of Dockerfile syntax 1.26. A comment\n' +
    '# check=skip=RULE,RULE in the first lines, or directly above an instruction, silences rules. Base images are looked\n' +
    'at in local storage and then in their registry; no layer is read. Ends with 1 where anything was found.',
  usage: '[flags] [FILE|CONTEXT]',
  examples: [
    'slipway lint .',
    'slipway lint --format json Containerfile',
    'slipway lint --offline -f - . < Dockerfile',
  ],
  args: { max: 1 },
  flags: FLAGS,
  run: runLint,
};

async function runLint(context: CommandContext): Promise<number> {
  const { flags, io } = context;
  const format = flags.string('format');
  if (format !== 'plain' && format !== 'json')
    throw new UsageError('usage', `unknown format ${JSON.stringify(format)}: choose plain or json`);
  await using session = await openSession(context, { flags: FLAGS, quiet: true });
  const { report, files } = await checkFiles(context, session, {
    platform: session.customPlatform ? session.surroundings.platform : undefined,
    contexts: new Set(flags.list('build-context').map((text) => text.split('=', 1)[0] as string)),
    registries: !flags.bool('offline'),
  });
  const lines =
    format === 'json'
      ? [JSON.stringify(reportData(report), null, 2)]
      : [...formatReport(report, files), ...(flags.bool('builders') ? ['', ...formatBuilders(report)] : [])];
  io.stdout.write(`${lines.join('\n')}\n`);
  return exitCodeOf(report);
}
