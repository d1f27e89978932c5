import type { InstructionBase } from '../parse/instruction.ts';
import type { SourcePosition } from '../parse/scan.ts';
import { type CheckOptions, withComments } from './check-options.ts';
import { RULES, type Rule, type RuleName } from './rules.ts';

/** One thing that a rule found. */
export interface Finding {
  readonly rule: RuleName;
  readonly message: string;
  readonly position: SourcePosition;
}

/** An instruction, or what is known of one that does not parse. */
export type Place = Pick<InstructionBase, 'position' | 'comments'>;

/** Collects findings, but those that the file's or the instruction's `# check=` skips. */
export class Findings {
  readonly #options: CheckOptions;
  readonly #found: Finding[] = [];

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  add(rule: RuleName, place: Place, message: string): void {
    const { skip, experimental } = withComments(this.#options, place.comments);
    const { experimental: needsOptIn }: Rule = RULES[rule];
    const wanted = needsOptIn
      ? experimental === 'all' || experimental.has(rule)
      : skip !== 'all' && !skip.has(rule);
    if (wanted) this.#found.push({ rule, message, position: place.position });
  }

  /** By file and line, and within a line in the order they were found. */
  sorted(files: readonly string[]): readonly Finding[] {
    return this.#found.toSorted(
      ({ position: a }, { position: b }) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line,
    );
  }
}
