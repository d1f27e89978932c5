import { createHash } from 'node:crypto';
import { toText } from '../add/rooted.ts';
import type { TreeEntry } from '../add/tree-writer.ts';
import type { StageState } from '../plan/stage-state.ts';
import type { StepPlace } from './events.ts';

/** What one step was made from: enough to say later which of it changed, and no values that may be secret. */
export interface StepInputs extends StepPlace {
  /** The step line's text. */
  readonly text: string;
  /** The name of the step's stage. */
  readonly stageName: string;
  readonly isCached: boolean;
  /** It was executed and failed. */
  readonly hasFailed?: boolean;
  /** Of FROM: the image that the base name led to; empty for scratch. */
  readonly baseImage?: string;
  /** Names of the arguments in force, with a digest of each one's value. */
  readonly arguments: readonly (readonly [name: string, digest: string])[];
  /** Mounts of a RUN that show files of elsewhere, with a checksum of what they showed. */
  readonly mounts: readonly (readonly [text: string, checksum: string])[];
  /** What COPY or ADD brought: source path and {@link fileState}; undefined for more than {@link FILES_LIMIT}. */
  readonly files?: readonly (readonly [path: string, state: string])[];
}

export type OnStepInputs = (inputs: StepInputs) => void;

/** A step with more files is explained without naming them. */
export const FILES_LIMIT = 200_000;

/** What is collected of a step while it is looked up and executed. */
export class InputCollector {
  #files: Map<string, string> | undefined = new Map();
  #mounts: readonly (readonly [string, string])[] = [];

  /** A COPY that was looked at is read again when it is executed. */
  restart(): void {
    this.#files = new Map();
  }

  file(path: string, entry: TreeEntry, sizeBytes: number, digest: Uint8Array | undefined): void {
    if (this.#files && this.#files.size >= FILES_LIMIT) this.#files = undefined;
    this.#files?.set(toText(path), fileState(entry, sizeBytes, digest));
  }

  mounts(checksums: readonly (readonly [text: string, checksum: string])[]): void {
    this.#mounts = checksums;
  }

  finish(
    step: Pick<StepInputs, 'stage' | 'step' | 'text' | 'stageName' | 'isCached' | 'hasFailed'>,
    state: StageState,
  ): StepInputs {
    return {
      ...step,
      arguments: argumentDigests(state),
      mounts: this.#mounts,
      ...(this.#files ? { files: [...this.#files] } : {}),
    };
  }
}

/** `kind mode uid:gid size digest`. */
function fileState(entry: TreeEntry, sizeBytes: number, digest: Uint8Array | undefined): string {
  const content = digest ? Buffer.from(digest).toString('hex', 0, 12) : shortDigest(entry.link ?? '');
  return `${entry.kind} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${sizeBytes} ${content}`;
}

function argumentDigests(state: StageState): [string, string][] {
  return [...state.arguments]
    .filter(([name]) => state.allowed.has(name))
    .map(([name, value]): [string, string] => [name, shortDigest(`${name}=${value}`)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function shortDigest(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 24);
}
