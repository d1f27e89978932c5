/** An RFC 3339 time as Go's time.Time shows it: in JSON without trailing zeros, in templates as its String method. */
export class GoTime {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text.replace(/(\.\d*?)0*(Z|[+-]\d\d:\d\d)$/, (_all, fraction: string, zone: string) =>
      fraction === '.' ? zone : fraction + zone,
    );
  }

  toJSON(): string {
    return this.#text;
  }

  toString(): string {
    const [, date, time, zone] = /^(\S{10})T([^Z+-]*)(.*)$/.exec(this.#text) ?? [];
    if (date === undefined) return this.#text;
    const offset = zone === 'Z' ? '+0000 UTC' : `${zone?.replace(':', '')} ${zone?.replace(':', '')}`;
    return `${date} ${time} ${offset}`;
  }
}
