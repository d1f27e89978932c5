/** What a TOML file says at its top. */
export type TomlTable = Record<string, unknown>;

/** Where a file is not TOML. */
export interface TomlFailure extends Error {
  /** From 1. */
  readonly line: number;
}

/** Without control characters, which TOML forbids. The lines stay, for errors to count them. */
const COMMENT_LINES = /(?<=^|\n)[ \t]*#[^\0-\x08\n-\x1f\x7f]*(?=\r?\n|$)/g;

/**
 * TOML as smol-toml reads it, which goes through comments character by character: the files of distributions are little
 * else. Only in strings of many lines such a line is more than a comment.
 * @throws TomlFailure
 */
export async function parseToml(text: string): Promise<TomlTable> {
  const { parse } = await import('smol-toml');
  return parse(/"""|'''/.test(text) ? text : text.replace(COMMENT_LINES, ''));
}
