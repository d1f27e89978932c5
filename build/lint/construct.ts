/** The builders that are compared, by the releases that are. */
export const BUILDERS = { buildah: 'Buildah 1.44', buildkit: 'BuildKit 1.26', slipway: 'Slipway' } as const;

export type Builder = keyof typeof BUILDERS;

/** `no`: the build fails. `differs`: it builds, and means something else than where it says `yes`. */
export interface Verdict {
  readonly takes: 'no' | 'differs';
  readonly why: string;
}

/** One use of something that is not in every Containerfile. */
export interface Use {
  readonly what: string;
  readonly line: number;
  /** A builder that is not here takes it. */
  readonly verdicts?: Partial<Readonly<Record<Builder, Verdict>>>;
}

/** Something that a file uses, and who takes it. */
export interface Construct {
  readonly what: string;
  readonly lines: readonly number[];
  readonly verdicts: Partial<Readonly<Record<Builder, Verdict>>>;
}

export const no = (why: string): Verdict => ({ takes: 'no', why });
export const differs = (why: string): Verdict => ({ takes: 'differs', why });
