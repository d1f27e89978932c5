import type { Writable } from 'node:stream';
import type { Instruction } from '../parse/instruction.ts';

/** The plain step lines of one stage, as Buildah prints them. */
export class StageLog {
  readonly #out: Writable | undefined;
  readonly #prefix: string;
  #total: number;
  readonly #showIds: boolean;
  #step = 0;

  /** @param out undefined: quiet */
  constructor(
    out: Writable | undefined,
    given: { readonly prefix: string; readonly total: number; readonly showIds: boolean },
  ) {
    this.#out = out;
    this.#prefix = given.prefix;
    this.#total = given.total;
    this.#showIds = given.showIds;
  }

  /** More steps follow than were known: those of the base image's ONBUILD. */
  expect(more: number): void {
    this.#total += more;
  }

  step(text: string): void {
    this.#step += 1;
    const count = this.#step <= this.#total ? `/${this.#total}` : '';
    this.#out?.write(`${this.#prefix}STEP ${this.#step}${count}: ${text}\n`);
  }

  commit(name: string): void {
    this.#out?.write(`${this.#prefix}COMMIT${name ? ` ${name}` : ''}\n`);
  }

  usingCache(imageId: string): void {
    this.#out?.write(`--> Using cache ${imageId}\n`);
  }

  image(imageId: string): void {
    if (this.#showIds) this.#out?.write(`--> ${imageId.slice(0, 12)}\n`);
  }

  line(text: string): void {
    this.#out?.write(`${text}\n`);
  }
}

/** The step line's text: the instruction as joined, with the first line of each heredoc. */
export function stepText(instruction: Instruction): string {
  const heredocs = instruction.heredocs.map((heredoc) => {
    const lines = heredoc.content.trim().split('\n');
    return ` (${lines[0]}${lines.length > 1 ? '...' : ''})`;
  });
  return instruction.original + heredocs.join('');
}

/** How an error names the step: the keyword, flags and words. */
export function stepName(instruction: Instruction): string {
  const { original, keyword } = instruction;
  return keyword.toUpperCase() + original.slice(keyword.length).replace(/\s+$/, '');
}
