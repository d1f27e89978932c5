import { BuildError } from '../error.ts';
import type { Finding } from '../lint/findings.ts';
import { baseConfigs } from './base-configs.ts';
import type { BuildSession } from './session.ts';

/** The build argument that stands for the line in the file. */
const ARGUMENT = 'BUILDKIT_DOCKERFILE_CHECK';

/**
 * A file that says `# check=error=true` is not built where checks find something, as in BuildKit. Files that do not ask
 * for it are not looked at.
 * @throws BuildError `check-failed`
 */
export async function failOnFindings(session: BuildSession): Promise<void> {
  const { options, surroundings } = session;
  if (!mayFail(session)) return;
  const { baseImages, lintContainerfiles } = await import('../lint/lint.ts');
  const given = {
    ...options,
    contexts: new Set(options.contexts.keys()),
    ignorePatterns: session.ignore.patterns,
  };
  const bases = await baseConfigs(surroundings, baseImages(options.files, given), {
    registries: options.pullPolicy !== 'never',
  });
  const { findings, findingsFailBuilds } = lintContainerfiles(options.files, { ...given, bases });
  if (!findingsFailBuilds || findings.length === 0) return;
  for (const finding of findings) surroundings.onWarning?.(lineOf(finding));
  const rules = [...new Set(findings.map(({ rule }) => rule))].join(', ');
  throw new BuildError('check-failed', `lint violation found for rules: ${rules}`, {
    hint: `the file asks for it by # check=error=true; --build-arg ${ARGUMENT}=error=false builds it all the same`,
  });
}

function mayFail({ options }: BuildSession): boolean {
  const text = options.arguments.get(ARGUMENT) ?? options.files[0]?.text ?? '';
  return options.arguments.has(ARGUMENT)
    ? text.includes('error')
    : /^[ \t]*#[ \t]*check[ \t]*=.*error/im.test(text);
}

function lineOf({ rule, message, position }: Finding): string {
  return `${rule}: ${message} (${position.file}:${position.line})`;
}
