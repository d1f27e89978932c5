import type { BuildEvent, PlannedStage } from '../../build/exec/events.ts';
import { plainLine, shortIds } from './build-screen.ts';

/** A step as it is shown. */
export interface LiveStep {
  /** `[name 2/5] RUN make`. */
  readonly label: string;
  readonly startedMs: number;
  /** The last lines of its output, the last one perhaps unfinished. */
  readonly output: string[];
  outcome?: 'done' | 'cached' | 'failed';
  durationMs?: number;
}

const KEPT_LINES = 50;
const LINE_LIMIT = 4096;

/** The steps of a build as its events tell them. */
export class LiveSteps {
  readonly #running = new Map<string, LiveStep>();
  readonly #totals = new Map<number, number>();
  #stages: readonly PlannedStage[] = [];
  #done = 0;

  running(): LiveStep[] {
    return [...this.#running.values()];
  }

  counts(): { readonly done: number; readonly known: number } {
    return { done: this.#done, known: [...this.#totals.values()].reduce((sum, total) => sum + total, 0) };
  }

  /** The step that the event ended. */
  take(event: BuildEvent, nowMs: number): LiveStep | undefined {
    switch (event.type) {
      case 'build-started':
        this.#stages = event.stages;
        this.#totals.clear();
        this.#done = 0;
        return undefined;
      case 'step-started':
        this.#totals.set(event.stage, event.total);
        this.#running.set(keyOf(event), { label: this.#label(event), startedMs: nowMs, output: [] });
        return undefined;
      case 'output':
        addOutput(this.#running.get(keyOf(event))?.output ?? [], event.text);
        return undefined;
      case 'step-done':
      case 'step-cached':
      case 'step-failed':
        return this.#finish(event);
      default:
        return undefined;
    }
  }

  #finish(
    event: Extract<BuildEvent, { type: 'step-done' | 'step-cached' | 'step-failed' }>,
  ): LiveStep | undefined {
    const step = this.#running.get(keyOf(event));
    if (!step) return undefined;
    this.#running.delete(keyOf(event));
    this.#done += 1;
    step.outcome = event.type === 'step-done' ? 'done' : event.type === 'step-cached' ? 'cached' : 'failed';
    step.durationMs = event.durationMs;
    return step;
  }

  #label({ stage, step, total, text }: Extract<BuildEvent, { type: 'step-started' }>): string {
    const name = this.#stages.length > 1 ? `${this.#stages[stage]?.name ?? stage} ` : '';
    return `[${plainLine(name)}${step}/${Math.max(total, step)}] ${plainLine(shortIds(text.replaceAll('\n', ' ')))}`;
  }
}

const keyOf = ({ stage, step }: { readonly stage: number; readonly step: number }) => `${stage}.${step}`;

function addOutput(lines: string[], text: string): void {
  const [first = '', ...more] = text.split('\n');
  const unfinished = lines.pop() ?? '';
  lines.push(plainLine(unfinished + first).slice(0, LINE_LIMIT));
  for (const line of more) lines.push(plainLine(line).slice(0, LINE_LIMIT));
  if (lines.length > KEPT_LINES) lines.splice(0, lines.length - KEPT_LINES);
}
