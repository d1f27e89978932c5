import { usage } from '../arguments.ts';

/** `name=value` texts as a map. @throws UsageError */
export function parseAnnotations(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 0) throw usage(`no "=" found in annotation "${text}"`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
