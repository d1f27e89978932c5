import type { Writable } from 'node:stream';

interface Usage {
  readonly atMs: number;
  readonly systemUs: number;
  readonly userUs: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/** `--log-rusage`: after each step a line with what this process used since the step before. */
export class ResourceLog {
  readonly #out: Writable;
  #last = current();

  constructor(out: Writable) {
    this.#out = out;
  }

  step(): void {
    const now = current();
    const last = this.#last;
    this.#last = now;
    const seconds = (value: number) => `${Math.round(value) / 1000}s`;
    this.#out.write(
      `${seconds((now.systemUs - last.systemUs) / 1000)}(system) ${seconds((now.userUs - last.userUs) / 1000)}(user) ` +
        `${seconds(now.atMs - last.atMs)}(elapsed) ${size(now.inputBytes - last.inputBytes)} input ` +
        `${size(now.outputBytes - last.outputBytes)} output\n`,
    );
  }
}

function current(): Usage {
  const { systemCPUTime, userCPUTime, fsRead, fsWrite } = process.resourceUsage();
  return {
    atMs: performance.now(),
    systemUs: systemCPUTime,
    userUs: userCPUTime,
    inputBytes: fsRead * 512,
    outputBytes: fsWrite * 512,
  };
}

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${Number(value.toPrecision(4))}${units[unit]}`;
}
