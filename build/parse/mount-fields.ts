/**
 * The `key=value` fields of a `--mount`, split as CSV (quotes protect commas). A key alone has no value.
 * Keys are lower-cased except Podman's one-letter flags; nothing is validated.
 */
export function mountFields(text: string): [key: string, value: string | undefined][] {
  return csvFields(text).map((field) => {
    const equals = field.indexOf('=');
    return equals < 0
      ? [foldKey(field), undefined]
      : [foldKey(field.slice(0, equals)), field.slice(equals + 1)];
  });
}

/** What the mounts of a RUN name by `from`: stages, contexts and images. */
export function mountSources(mounts: readonly string[]): string[] {
  return mounts.flatMap((mount) =>
    mountFields(mount).flatMap(([key, value]) => (key === 'from' && value !== undefined ? [value] : [])),
  );
}

/** `Z` and `z` differ. */
function foldKey(key: string): string {
  return key.length === 1 ? key : key.toLowerCase();
}

/** The fields of one CSV row; quotes protect commas. */
export function csvFields(text: string): string[] {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (quoted && char === '"' && text[at + 1] === '"') {
      field += '"';
      at += 1;
    } else if (char === '"' && (quoted || field === '')) quoted = !quoted;
    else if (char === ',' && !quoted) {
      fields.push(field);
      field = '';
    } else field += char;
  }
  fields.push(field);
  return fields;
}
