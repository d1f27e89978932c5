import { BuildError } from '../error.ts';
import { commandWords, jsonOr } from './command-words.ts';
import { FlagProblem, type InstructionFlags, readFlags } from './flags.ts';
import { healthcheckOf } from './healthcheck.ts';
import {
  type CopyInstruction,
  type FromInstruction,
  INSTRUCTION_KINDS,
  type Instruction,
  type InstructionBase,
  type InstructionKind,
  type OnbuildInstruction,
} from './instruction.ts';
import { nearest } from './nearest.ts';
import { type ScannedLine, scanContainerfile } from './scan.ts';
import { plainWords, quotedWords } from './words.ts';

/** A whole Containerfile as typed instructions, in order. */
export interface Containerfile {
  readonly file: string;
  readonly instructions: readonly Instruction[];
  /** The escape character: backslash, or a back quote by `# escape=`. */
  readonly escape: string;
  /** `# syntax=`: informative, this parser knows the whole language. */
  readonly syntax?: string;
  /** `# check=`: rules to skip and whether warnings are errors. */
  readonly check?: string;
}

/**
 * Parses the union of Buildah 1.44's and Dockerfile syntax 1.26's language, strictly.
 * @param file name for messages
 * @throws BuildError `syntax` with file, line and, where a word is nearly right, a hint
 */
export function parseContainerfile(text: string, options: { readonly file: string }): Containerfile {
  const scanned = scanContainerfile(text, options.file);
  return {
    file: options.file,
    instructions: scanned.lines.map((line) => parseInstruction(line, scanned.escape)),
    escape: scanned.escape,
    ...(scanned.syntax ? { syntax: scanned.syntax } : {}),
    ...(scanned.check ? { check: scanned.check } : {}),
  };
}

type Reader = (line: ScannedLine, base: InstructionBase, context: Context) => Instruction;

interface Context {
  readonly escape: string;
  readonly name: string;
}

const READERS: Record<InstructionKind, Reader> = {
  from: readFrom,
  arg: readArg,
  env: (line, base, context) => readPairs(line, base, context, 'env'),
  label: (line, base, context) => readPairs(line, base, context, 'label'),
  copy: (line, base) => readCopy(line, base, 'copy'),
  add: (line, base) => readCopy(line, base, 'add'),
  run: readRun,
  cmd: (line, base) => readCommand(line, base, 'cmd'),
  entrypoint: (line, base) => readCommand(line, base, 'entrypoint'),
  shell: (line, base) => readCommand(line, base, 'shell'),
  expose: (line, base) => readWords(line, base, 'expose'),
  volume: (line, base) => readWords(line, base, 'volume'),
  user: (line, base) => readText(line, base, 'user'),
  workdir: (line, base) => readText(line, base, 'workdir'),
  stopsignal: (line, base) => readText(line, base, 'stopsignal'),
  maintainer: (line, base) => readText(line, base, 'maintainer'),
  healthcheck: (line, base) => healthcheckOf(line, base),
  onbuild: readOnbuild,
};

/** Converts one logical line. @throws BuildError `syntax` */
export function parseInstruction(line: ScannedLine, escapeChar = '\\'): Instruction {
  const kind = line.keyword.toLowerCase();
  const { position, keyword, original, flags, heredocs, comments, emptyLine } = line;
  try {
    if (!Object.hasOwn(READERS, kind)) throw unknownInstruction(keyword);
    const base = {
      position,
      keyword,
      original,
      flags,
      heredocs,
      comments,
      ...(emptyLine === undefined ? {} : { emptyLine }),
    };
    return READERS[kind as InstructionKind](line, base, { escape: escapeChar, name: kind.toUpperCase() });
  } catch (error) {
    if (!(error instanceof FlagProblem)) throw error;
    throw new BuildError('syntax', `${position.file}:${position.line}: ${error.message}`, {
      facts: { path: position.file, line: position.line },
      ...(error.hint ? { hint: error.hint } : {}),
    });
  }
}

function unknownInstruction(keyword: string): FlagProblem {
  const near = nearest(
    keyword,
    INSTRUCTION_KINDS.map((kind) => kind.toUpperCase()),
  );
  const name = keyword.toUpperCase().slice(0, 60);
  return new FlagProblem(
    `unknown instruction: ${name}${near ? ` (did you mean ${near}?)` : ''}`,
    near ? undefined : `instructions are ${INSTRUCTION_KINDS.map((kind) => kind.toUpperCase()).join(', ')}`,
  );
}

function readFrom(line: ScannedLine, base: InstructionBase): FromInstruction {
  const flags = readFlags(line.flags, { platform: 'optional', after: 'text' }, 'FROM');
  const words = plainWords(line.rest);
  const [image, as, stageName] = words;
  const named = words.length === 3 && as?.toLowerCase() === 'as';
  if (image === undefined || !(words.length === 1 || named))
    throw new FlagProblem('FROM requires either one argument, or three: FROM <source> [AS <name>]');
  return {
    ...base,
    kind: 'from',
    image,
    ...(named ? { stageName } : {}),
    ...given('platform', flags.text('platform')),
    ...given('after', flags.text('after')),
  };
}

function readArg(line: ScannedLine, base: InstructionBase, context: Context): Instruction {
  readFlags(line.flags, {}, 'ARG');
  const words = quotedWords(line.rest, context.escape);
  if (words.length === 0) throw new FlagProblem('ARG requires at least one argument');
  if (words.some((word) => word.startsWith('='))) throw new FlagProblem('ARG names can not be blank');
  return { ...base, kind: 'arg', words };
}

function readPairs(
  line: ScannedLine,
  base: InstructionBase,
  context: Context,
  kind: 'env' | 'label',
): Instruction {
  readFlags(line.flags, {}, context.name);
  const words = quotedWords(line.rest, context.escape);
  if (words.length === 0) throw new FlagProblem(`${context.name} requires at least one argument`);
  if (!words[0]?.includes('=')) {
    const match = /^(\S+)\s+([\s\S]+)$/.exec(line.rest);
    if (!match)
      throw new FlagProblem(`${context.name} must have two arguments`, `write ${context.name} name=value`);
    return { ...base, kind, legacy: true, pairs: [[match[1] as string, match[2] as string]] };
  }
  const pairs = words.map((word): [string, string] => {
    const equals = word.indexOf('=');
    if (equals < 0)
      throw new FlagProblem(
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
        'put quotes around a value that has spaces',
      );
    if (equals === 0) throw new FlagProblem(`${context.name} names can not be blank`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
  return { ...base, kind, legacy: false, pairs };
}

const COPY_FLAGS = {
  from: 'optional',
  chown: 'optional',
  chmod: 'optional',
  link: 'flag',
  parents: 'flag',
  exclude: 'list',
} as const;
const ADD_FLAGS = {
  chown: 'optional',
  chmod: 'optional',
  checksum: 'optional',
  link: 'flag',
  'keep-git-dir': 'flag',
  unpack: 'flag',
  exclude: 'list',
} as const;

function readCopy(line: ScannedLine, base: InstructionBase, kind: 'copy' | 'add'): CopyInstruction {
  const name = kind.toUpperCase();
  const flags = readFlags(line.flags, kind === 'copy' ? COPY_FLAGS : ADD_FLAGS, name);
  const words = jsonOr(line.rest, plainWords);
  const destination = words.at(-1);
  if (destination === undefined || words.length < 2)
    throw new FlagProblem(`${name} requires at least two arguments`);
  if (base.heredocs.length > 0 && /^\d*<<-?/.test(destination))
    throw new FlagProblem(`${name} cannot accept a heredoc as a destination`);
  return { ...base, kind, sources: words.slice(0, -1), destination, ...copyFlags(flags, kind) };
}

function copyFlags(flags: InstructionFlags, kind: 'copy' | 'add') {
  return {
    excludes: flags.list('exclude'),
    ...given('chown', flags.text('chown')),
    ...given('chmod', flags.text('chmod')),
    ...given('link', flags.flag('link')),
    ...(kind === 'copy'
      ? { ...given('from', flags.text('from')), ...given('parents', flags.flag('parents')) }
      : {
          ...given('checksum', flags.text('checksum')),
          ...given('keepGitDirectory', flags.flag('keep-git-dir')),
          ...given('unpack', flags.flag('unpack')),
        }),
  };
}

const RUN_FLAGS = { mount: 'list', network: 'text', security: 'text', device: 'list' } as const;

function readRun(line: ScannedLine, base: InstructionBase): Instruction {
  const flags = readFlags(line.flags, RUN_FLAGS, 'RUN');
  const command = commandWords(line.rest);
  return {
    ...base,
    ...command,
    kind: 'run',
    mounts: flags.list('mount'),
    devices: flags.list('device'),
    ...given('network', flags.text('network')),
    ...given('security', flags.text('security')),
  };
}

function readCommand(
  line: ScannedLine,
  base: InstructionBase,
  kind: 'cmd' | 'entrypoint' | 'shell',
): Instruction {
  readFlags(line.flags, {}, kind.toUpperCase());
  const command = commandWords(line.rest);
  if (kind === 'shell') {
    if (command.form !== 'exec') throw new FlagProblem('SHELL requires the arguments to be in JSON form');
    if (command.words.length === 0) throw new FlagProblem('SHELL requires at least one argument');
  }
  return { ...base, ...command, kind };
}

function readWords(line: ScannedLine, base: InstructionBase, kind: 'expose' | 'volume'): Instruction {
  readFlags(line.flags, {}, kind.toUpperCase());
  const words = kind === 'volume' ? jsonOr(line.rest, plainWords) : plainWords(line.rest);
  if (words.length === 0) throw new FlagProblem(`${kind.toUpperCase()} requires at least one argument`);
  if (words.some((word) => word.trim() === ''))
    throw new FlagProblem('Volume specified can not be an empty string');
  return { ...base, kind, words };
}

function readText(
  line: ScannedLine,
  base: InstructionBase,
  kind: 'user' | 'workdir' | 'stopsignal' | 'maintainer',
): Instruction {
  readFlags(line.flags, {}, kind.toUpperCase());
  if (line.rest === '') throw new FlagProblem(`${kind.toUpperCase()} requires exactly one argument`);
  return { ...base, kind, text: line.rest };
}

function readOnbuild(line: ScannedLine, base: InstructionBase, context: Context): OnbuildInstruction {
  if (line.rest === '') throw new FlagProblem('ONBUILD requires at least one argument');
  const text = line.original.replace(/^\s*ONBUILD\s*/i, '');
  const word = /^\S+/.exec(text)?.[0] ?? '';
  const name = word.toUpperCase();
  if (name === 'ONBUILD') throw new FlagProblem("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (name === 'FROM' || name === 'MAINTAINER')
    throw new FlagProblem(`${name} isn't allowed as an ONBUILD trigger`);
  const heredocs = base.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`);
  const whole = scanContainerfile(text + heredocs.join(''), line.position.file).lines[0];
  if (!whole) throw new FlagProblem('ONBUILD requires at least one argument');
  const trigger = parseInstruction({ ...whole, position: line.position }, context.escape);
  return { ...base, kind: 'onbuild', expression: text + heredocs.join(''), trigger };
}

function given<K extends string, V>(key: K, value: V | undefined): { [name in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [name in K]?: V });
}
