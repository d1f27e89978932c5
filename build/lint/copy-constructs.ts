import { isGitSource, isRemoteSource } from '../add/remote.ts';
import type { CopyInstruction } from '../parse/instruction.ts';
import { differs, no, type Use } from './construct.ts';

/** What COPY and ADD use beyond sources and a destination. */
export function copyConstructs(copy: CopyInstruction): readonly Use[] {
  const { line } = copy.position;
  const name = copy.kind.toUpperCase();
  const uses: Use[] = [];
  const plain = (flag: string, given: unknown) => {
    if (given !== undefined && given !== false) uses.push({ what: `${name} --${flag}`, line });
  };
  plain('link', copy.link);
  plain('parents', copy.parents);
  plain('exclude', copy.excludes.length > 0);
  if (copy.checksum !== undefined) uses.push(checksum(copy, line));
  if (copy.keepGitDirectory)
    uses.push({ what: 'ADD --keep-git-dir', line, verdicts: { buildah: no('it keeps no .git directory') } });
  if (copy.unpack !== undefined)
    uses.push({ what: 'ADD --unpack', line, verdicts: { buildah: no('it has no such flag') } });
  if (copy.chmod !== undefined && !/^(?:[0-7]+|.*\$.*)$/.test(copy.chmod))
    uses.push({
      what: `${name} --chmod with a symbolic mode`,
      line,
      verdicts: { buildah: no('it takes octal modes only') },
    });
  if (copy.heredocs.length > 0) uses.push(...heredocs(copy, name));
  for (const source of copy.sources) uses.push(...remoteSource(source, line));
  return uses;
}

function checksum({ sources }: CopyInstruction, line: number): Use {
  const isRemote = (source: string) => isGitSource(source) || isRemoteSource(source) || source.includes('$');
  const what = 'ADD --checksum';
  if (sources.every(isRemote)) return { what, line };
  const why = no('a checksum is one of something that is downloaded');
  return {
    what: `${what} of a file in the context`,
    line,
    verdicts: { buildah: why, buildkit: why, slipway: why },
  };
}

function heredocs(copy: CopyInstruction, name: string): readonly Use[] {
  const { line } = copy.position;
  const expanded = copy.heredocs.filter(({ expand }) => expand).map(({ content }) => content);
  const uses: Use[] = [{ what: `${name} with a heredoc`, line }];
  if (expanded.some((content) => (content.split("'").length - 1) % 2 === 1))
    uses.push({
      what: 'a single quote alone in a heredoc with variables',
      line,
      verdicts: { buildah: no('it looks for the quote that closes it') },
    });
  else if (expanded.some((content) => /'[^']*\$[^']*'/.test(content)))
    uses.push({
      what: 'a variable between single quotes in a heredoc',
      line,
      verdicts: { buildkit: differs('it replaces the variable, the others do not') },
    });
  if (expanded.some((content) => content.includes('\\')))
    uses.push({
      what: 'a backslash in a heredoc with variables',
      line,
      verdicts: { buildkit: differs('it takes backslashes away, the others keep them') },
    });
  return uses;
}

function remoteSource(source: string, line: number): readonly Use[] {
  if (isGitSource(source)) {
    const query = source.includes('?');
    const buildah = query ? { buildah: no('it reads no query behind a repository’s URL') } : {};
    return [
      {
        what: query ? 'ADD of a git repository with a query' : 'ADD of a git repository',
        line,
        verdicts: buildah,
      },
    ];
  }
  return isRemoteSource(source) ? [{ what: 'ADD of a URL', line }] : [];
}
