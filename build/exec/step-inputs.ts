import { createHash } from 'node:crypto';
import { toText } from '../add/rooted.ts';
import type { TreeEntry } from '../add/tree-writer.ts';
import type { Instruction } from '../parse/instruction.ts';
import type { StageState } from '../plan/stage-state.ts';
import { runArguments, visibleNames } from './created-by.ts';
import type { StepPlace } from './events.ts';

/** Names with a digest of what each stands for. */
export type Digests = readonly (readonly [name: string, digest: string])[];

/** Why a step's image was not taken from the cache, whatever the step was made from. */
export type Passed = 'no-cache' | 'expired' | 'fresh-stage';

/** What one step was made from: enough to say later which of it changed, and no values that may be secret. */
export interface StepInputs extends StepPlace {
  /** The step line's text. */
  readonly text: string;
  /** The instruction alone, where the text has the beginning of a heredoc behind it. */
  readonly instruction?: string;
  /** The flag that the instruction comes from. */
  readonly flag?: string;
  /** The name of the step's stage. */
  readonly stageName: string;
  readonly isCached: boolean;
  /** It was executed and failed. */
  readonly hasFailed?: boolean;
  readonly passed?: Passed;
  /** The version that the image names as its builder. */
  readonly builder?: string;
  /** What the step gave; absent where it made no image. */
  readonly imageId?: string;
  /** Of FROM: the image that the base name led to; empty for scratch. */
  readonly baseImage?: string;
  /** Of FROM: the base is a stage. */
  readonly isBaseStage?: boolean;
  /** Arguments that the step depends on. */
  readonly arguments: Digests;
  /** Mounts of a RUN that show files of elsewhere, with a checksum of what they showed. */
  readonly mounts: Digests;
  /** Whatever else it depends on, as it is called in a sentence: flags, heredocs, rules for the context's files. */
  readonly others: Digests;
  /** What COPY, ADD or a mount brought: source path and {@link fileState}; undefined for more than {@link FILES_LIMIT}. */
  readonly files?: Digests;
}

export type OnStepInputs = (inputs: StepInputs) => void;

/** A step with more files is explained without naming them. */
export const FILES_LIMIT = 200_000;

/** What is collected of a step while it is looked up and executed. */
export class InputCollector {
  readonly #instruction: Instruction;
  #files: Map<string, string> | undefined = new Map();
  #mounts: Digests = [];
  readonly #others: [string, string][] = [];
  #passed: Passed | undefined;
  #builder: string | undefined;

  constructor(instruction: Instruction) {
    this.#instruction = instruction;
    for (const { name, content } of instruction.heredocs) this.other(`the heredoc ${name}`, content);
  }

  /** What was looked at is read again when it is executed. */
  restart(): void {
    this.#files = new Map();
  }

  file(path: string, entry: TreeEntry, sizeBytes: number, digest: Uint8Array | undefined): void {
    if (this.#files && this.#files.size >= FILES_LIMIT) this.#files = undefined;
    this.#files?.set(toText(path), fileState(entry, sizeBytes, digest));
  }

  mounts(checksums: Digests): void {
    this.#mounts = checksums;
  }

  pass(reason: Passed): void {
    this.#passed = reason;
  }

  builder(version: string): void {
    this.#builder = version;
  }

  /** @param name as it is called in a sentence */
  other(name: string, value: unknown): void {
    if (value !== undefined) this.#others.push([name, shortDigest(JSON.stringify(value))]);
  }

  finish(
    step: Pick<StepInputs, 'stage' | 'step' | 'text' | 'stageName' | 'isCached' | 'hasFailed' | 'imageId'>,
    state: StageState,
  ): StepInputs {
    const { original, heredocs, position } = this.#instruction;
    return {
      ...step,
      ...(heredocs.length > 0 ? { instruction: original } : {}),
      ...(position.file.startsWith('--') ? { flag: position.file } : {}),
      ...(this.#passed ? { passed: this.#passed } : {}),
      ...(this.#builder ? { builder: this.#builder } : {}),
      arguments: argumentDigests(this.#instruction, state),
      mounts: this.#mounts,
      others: this.#others,
      ...(this.#files ? { files: [...this.#files] } : {}),
    };
  }
}

/** `kind mode uid:gid size digest attributes`; the digest of a file is one of its attributes too. */
function fileState(entry: TreeEntry, sizeBytes: number, digest: Uint8Array | undefined): string {
  const { kind, mode, uid, gid, link, deviceMajor, deviceMinor, xattrs = [] } = entry;
  const content = digest
    ? Buffer.from(digest).toString('hex', 0, 12)
    : shortDigest(JSON.stringify([link, deviceMajor, deviceMinor]));
  const attributes = xattrs.map(([name, value]) => `${name}\0${Buffer.from(value).toString('hex')}`);
  const attributesDigest = attributes.length > 0 ? shortDigest(attributes.join('\0')) : '-';
  return `${kind} ${mode.toString(8)} ${uid}:${gid} ${sizeBytes} ${content} ${attributesDigest}`;
}

/** A RUN sees all arguments, an ARG is known by their names; other instructions depend on those that they name. */
function argumentDigests({ kind, original }: Instruction, state: StageState): Digests {
  if (kind === 'arg') return visibleNames(state).map((name) => [name, '']);
  const named = new Set(Array.from(original.matchAll(/\$\{?(\w+)/g), ([, name]) => name));
  return runArguments(state)
    .filter(([name]) => kind === 'run' || named.has(name))
    .map(([name, value]): [string, string] => [name, shortDigest(`${name}=${value}`)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function shortDigest(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 24);
}
