import { BuildError } from '../error.ts';

/** What `# check=` or the build argument BUILDKIT_DOCKERFILE_CHECK says. */
export interface CheckOptions {
  readonly skip: ReadonlySet<string> | 'all';
  readonly experimental: ReadonlySet<string> | 'all';
  /** A finding fails the build, in BuildKit. */
  readonly error: boolean;
}

/** Nothing is skipped, nothing experimental is looked for. */
export const DEFAULT_CHECK: CheckOptions = { skip: new Set(), experimental: new Set(), error: false };

/**
 * Reads `skip=RULE,RULE;error=true;experimental=RULE`; each list may be `all`.
 * @throws BuildError `bad-option`
 */
export function parseCheckOptions(text: string): CheckOptions {
  let options = DEFAULT_CHECK;
  for (const part of text.trim() === '' ? [] : text.split(';')) {
    const equals = part.indexOf('=');
    if (equals < 0) throw invalid(part);
    const key = part.slice(0, equals).trim();
    const value = part.slice(equals + 1).trim();
    if (key === 'skip') options = { ...options, skip: ruleNames(value) };
    else if (key === 'experimental') options = { ...options, experimental: ruleNames(value) };
    else if (key === 'error') options = { ...options, error: truth(value, part) };
    else throw invalid(key);
  }
  return options;
}

function ruleNames(value: string): ReadonlySet<string> | 'all' {
  return value === 'all' ? 'all' : new Set(value.split(',').map((name) => name.trim()));
}

function truth(value: string, part: string): boolean {
  if (/^(?:1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  throw invalid(part);
}

function invalid(part: string): BuildError {
  return new BuildError('bad-option', `invalid check option ${JSON.stringify(part.slice(0, 100))}`, {
    hint: 'write # check=skip=RuleName,RuleName;error=true',
  });
}

/** The options for one instruction: those of the file and of a `# check=` in the comments directly above. */
export function withComments(options: CheckOptions, comments: readonly string[]): CheckOptions {
  const value = comments.map((comment) => /^check\s*=\s*(\S+)/i.exec(comment)?.[1]).find(Boolean);
  if (value === undefined) return options;
  let own: CheckOptions;
  try {
    own = parseCheckOptions(value);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return options;
  }
  return {
    skip: merged(options.skip, own.skip),
    experimental: merged(options.experimental, own.experimental),
    error: options.error,
  };
}

function merged(a: CheckOptions['skip'], b: CheckOptions['skip']): CheckOptions['skip'] {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b]);
}
