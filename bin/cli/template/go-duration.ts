/** Go's time.Duration in a template: `%v` and `%s` print `1m0s`, number verbs print nanoseconds. */
export class GoDuration {
  readonly nanoseconds: number;

  constructor(nanoseconds: number) {
    this.nanoseconds = nanoseconds;
  }

  valueOf(): number {
    return this.nanoseconds;
  }

  toString(): string {
    const total = Math.abs(this.nanoseconds);
    const sign = this.nanoseconds < 0 ? '-' : '';
    if (total === 0) return '0s';
    if (total < 1e3) return `${sign}${total}ns`;
    if (total < 1e6) return `${sign}${total / 1e3}µs`;
    if (total < 1e9) return `${sign}${total / 1e6}ms`;
    const hours = Math.floor(total / 3.6e12);
    const minutes = Math.floor((total % 3.6e12) / 6e10);
    const seconds = (total % 6e10) / 1e9;
    return `${sign}${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${seconds}s`;
  }
}
