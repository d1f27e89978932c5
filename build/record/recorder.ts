import type { Store } from '../../store/storage/contract.ts';
import type { BuildOptions } from '../exec/options.ts';
import type { StepInputs } from '../exec/step-inputs.ts';
import { explain } from './explain.ts';
import { findRecord, keepRecord } from './keep.ts';
import type { BuildIdentity, BuildRecord } from './record.ts';

/** Collects what a build was made from, compares it with the build before, and keeps it for the next one. */
export class BuildRecorder {
  readonly #directory: string;
  readonly #identity: BuildIdentity;
  readonly #startedAt: string;
  readonly #before: BuildRecord | undefined;
  readonly #there = new Set<string>();
  readonly #steps: StepInputs[] = [];

  private constructor(directory: string, identity: BuildIdentity, now: Date) {
    this.#directory = directory;
    this.#identity = identity;
    this.#startedAt = now.toISOString();
    this.#before = findRecord(directory, identity);
  }

  /**
   * To be called before the build begins.
   * @param directory where records are kept
   */
  static async open(
    directory: string,
    identity: BuildIdentity,
    surroundings: { readonly store: Store; readonly now: () => Date },
  ): Promise<BuildRecorder> {
    const recorder = new BuildRecorder(directory, identity, surroundings.now());
    if (recorder.#before)
      for (const { id } of await surroundings.store.images.list()) recorder.#there.add(id);
    return recorder;
  }

  /** For {@link BuildOptions.onInputs}. */
  readonly onInputs: NonNullable<BuildOptions['onInputs']> = (inputs) => {
    this.#steps.push(inputs);
  };

  /** @param imageId empty where the build failed */
  finish(imageId: string): BuildRecord {
    const record: BuildRecord = {
      version: 2,
      identity: this.#identity,
      startedAt: this.#startedAt,
      imageId,
      steps: this.#steps,
      ...(this.#before
        ? { explanations: explain(this.#steps, this.#before, (id) => this.#there.has(id)) }
        : {}),
    };
    keepRecord(this.#directory, record);
    return record;
  }
}
