/** Text that is HTML already; made by {@link html} alone, so that everything else is escaped. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** A template whose values are escaped unless they are {@link Markup}. Attributes must be quoted. */
export function html(
  strings: TemplateStringsArray,
  ...values: readonly (string | number | Markup)[]
): Markup {
  let text = strings[0] ?? '';
  for (const [at, value] of values.entries())
    text += (value instanceof Markup ? String(value) : escapeHtml(String(value))) + (strings[at + 1] ?? '');
  return new Markup(text);
}

export function markup(parts: readonly Markup[]): Markup {
  return new Markup(parts.join(''));
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Control characters and marks that turn the direction of text are shown as a replacement character. */
export function escapeHtml(text: string): string {
  return text
    .replace(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu,
      '\ufffd',
    )
    .replace(/[&<>"'`]/g, (character) => ENTITIES[character] as string);
}

/** Cuts a text to a number of characters. */
export function clip(text: string, length: number): string {
  const characters = [...text];
  return characters.length > length ? `${characters.slice(0, length - 1).join('')}…` : text;
}
