import { commandWords } from './command-words.ts';
import { FlagProblem, readFlags } from './flags.ts';
import type { HealthcheckInstruction, InstructionBase } from './instruction.ts';
import type { ScannedLine } from './scan.ts';

const FLAGS = {
  interval: 'optional',
  timeout: 'optional',
  'start-period': 'optional',
  'start-interval': 'optional',
  retries: 'optional',
} as const;

/** HEALTHCHECK NONE, or HEALTHCHECK [flags] CMD command. @throws FlagProblem */
export function healthcheckOf(line: ScannedLine, base: InstructionBase): HealthcheckInstruction {
  const type = /^\S+/.exec(line.rest)?.[0].toUpperCase();
  if (type === undefined) throw new FlagProblem('HEALTHCHECK requires at least one argument');
  const rest = line.rest.slice(type.length).trim();
  const flags = readFlags(line.flags, FLAGS, 'HEALTHCHECK');
  const times = {
    intervalNs: interval('interval', flags.text('interval')),
    timeoutNs: interval('timeout', flags.text('timeout')),
    startPeriodNs: interval('start-period', flags.text('start-period')),
    startIntervalNs: interval('start-interval', flags.text('start-interval')),
    retries: retries(flags.text('retries')),
  };
  if (type === 'NONE') {
    if (rest !== '') throw new FlagProblem('HEALTHCHECK NONE takes no arguments');
    return { ...base, kind: 'healthcheck', ...times };
  }
  if (type !== 'CMD') throw new FlagProblem(`Unknown type ${JSON.stringify(type)} in HEALTHCHECK (try CMD)`);
  const command = commandWords(rest);
  if (command.words.length === 0) throw new FlagProblem('Missing command after HEALTHCHECK CMD');
  return { ...base, kind: 'healthcheck', command, ...times };
}

const UNITS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** As much as Go's time.Duration holds. */
const LIMIT_NANOSECONDS = 2 ** 63;

/** Go's time.ParseDuration, in nanoseconds; 0 where none is given, which Buildah refuses. @throws FlagProblem */
function interval(name: string, text: string | undefined): number {
  if (text === undefined || text === '0') return 0;
  if (/^-/.test(text)) throw new FlagProblem(`Interval ${JSON.stringify(name)} must be positive`);
  const total = nanoseconds(text);
  if (total === undefined || total >= LIMIT_NANOSECONDS)
    throw new FlagProblem(
      `time: invalid duration ${JSON.stringify(text)} for --${name}`,
      'write it as 30s or 1m30s',
    );
  return total;
}

function nanoseconds(text: string): number | undefined {
  if (!/^\+?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const part of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g))
    total += Number(part[1]) * (UNITS[part[2] as string] as number);
  return Math.round(total);
}

function retries(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^[+-]?\d{1,9}$/.test(text)) throw new FlagProblem(`--retries is no number: ${JSON.stringify(text)}`);
  if (Number(text) < 0) throw new FlagProblem(`--retries must be at least 1 (not ${Number(text)})`);
  return Number(text);
}
