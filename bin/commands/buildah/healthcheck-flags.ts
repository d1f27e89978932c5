import { shellWords } from '../../../build/parse/shell-words.ts';
import type { Healthcheck } from '../../../image/config.ts';
import type { FlagSpec, Flags } from '../../cli/contract.ts';
import { parseDuration } from '../../cli/duration.ts';
import { usage } from './arguments.ts';

export const HEALTHCHECK_FLAGS: readonly FlagSpec[] = [
  {
    name: 'healthcheck',
    kind: 'string',
    usage: 'health check, such as "CMD curl localhost" (Docker format)',
  },
  { name: 'healthcheck-interval', kind: 'string', usage: 'time between checks' },
  { name: 'healthcheck-retries', kind: 'int', usage: 'failures until a container is unhealthy' },
  { name: 'healthcheck-start-interval', kind: 'string', usage: 'time between checks while it starts' },
  { name: 'healthcheck-start-period', kind: 'string', usage: 'time in which failures do not count' },
  { name: 'healthcheck-timeout', kind: 'string', usage: 'time after which a check has failed' },
];

const NS_PER_MS = 1_000_000;
const DURATIONS = [
  ['healthcheck-interval', 'interval', 'Interval'],
  ['healthcheck-start-period', 'start-period', 'StartPeriod'],
  ['healthcheck-start-interval', 'start-interval', 'StartInterval'],
  ['healthcheck-timeout', 'timeout', 'Timeout'],
] as const;

/** The changed check and the text of its history entry; undefined where no flag was given. */
export function changeHealthcheck(
  flags: Flags,
  before: Healthcheck | undefined,
): { readonly check: Healthcheck | undefined; readonly history: string } | undefined {
  if (!HEALTHCHECK_FLAGS.some((flag) => flags.changed(flag.name))) return undefined;
  let check: Healthcheck = before ?? {
    Test: ['NONE'],
    Interval: 30_000 * NS_PER_MS,
    Timeout: 30_000 * NS_PER_MS,
    Retries: 3,
  };
  let history = '';
  if (flags.changed('healthcheck')) check = { ...check, Test: words(flags.string('healthcheck')) };
  for (const [flag, name, key] of DURATIONS) {
    if (flags.changed(flag)) {
      const text = flags.string(flag);
      check = { ...check, [key]: nanoseconds(flag, text) };
      history += `--${name}=${text} `;
    }
    if (flag === 'healthcheck-interval' && flags.changed('healthcheck-retries')) {
      check = { ...check, Retries: flags.number('healthcheck-retries') };
      history += `--retries=${flags.number('healthcheck-retries')} `;
    }
  }
  if (!check.Test?.length) return { check: undefined, history: 'NONE' };
  return { check, history: `${history}${flags.string('healthcheck')}` };
}

function words(text: string): string[] {
  try {
    return shellWords(text);
  } catch (cause) {
    throw usage(`parsing --healthcheck ${JSON.stringify(text)}: ${(cause as Error).message}`);
  }
}

function nanoseconds(flag: string, text: string): number {
  try {
    return parseDuration(text) * NS_PER_MS;
  } catch (cause) {
    throw usage(`parsing --${flag} ${JSON.stringify(text)}: ${(cause as Error).message}`);
  }
}
