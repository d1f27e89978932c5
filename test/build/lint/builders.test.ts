import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { suite } from 'uvu';
import { BUILDERS } from '../../../build/lint/construct.ts';
import { formatBuilders, formatReport, reportData } from '../../../build/lint/format.ts';
import { type LintReport, lintContainerfiles } from '../../../build/lint/lint.ts';

const test = suite('which builders can build a file');
const LINUX = { os: 'linux', architecture: 'amd64' };

function report(text: string, name = 'Containerfile'): LintReport {
  return lintContainerfiles([{ name, text }], { platform: LINUX, buildPlatform: LINUX });
}

/** `buildah`, `buildkit` and `slipway` as yes, no or differs, in this order. */
function answers(text: string, name?: string): string {
  const { builders } = reportData(report(text, name)) as { builders: { builds: string }[] };
  return builders.map(({ builds }) => builds).join(' ');
}

const CASES: readonly [instruction: string, expected: string][] = [
  ['LABEL a=1', 'yes yes yes'],
  ['COPY --link --parents --exclude=x --chmod=755 --chown=0 a b', 'yes yes yes'],
  ['COPY --chmod=u+x a b', 'no yes yes'],
  ['COPY --chown= a b', 'no yes yes'],
  ['COPY --chown=1 --chown=2 a b', 'yes no yes'],
  ['COPY --exclude=a --exclude=b a b', 'yes yes yes'],
  ['HEALTHCHECK --interval= CMD a', 'yes yes yes'],
  ['ADD --unpack https://example.com/a.tar /', 'no yes yes'],
  ['ADD https://example.com/a.git#main:sub /', 'yes yes yes'],
  ['ADD https://example.com/a.git?ref=main /', 'no yes yes'],
  ['RUN --network=none true', 'yes yes yes'],
  ['RUN --network=private true', 'yes no yes'],
  ['RUN --security=insecure true', 'no yes yes'],
  ['RUN --device=a.b/c=d true', 'no yes yes'],
  ['RUN --mount=type=cache,target=/x,sharing=locked true', 'yes yes yes'],
  ['RUN --mount=type=cache,target=/x,sharing=private true', 'no yes yes'],
  ['RUN --mount=type=bind,target=/x,Z true', 'yes no yes'],
  ['RUN --mount=type=tmpfs,target=/x,size=1m true', 'no yes yes'],
  ['RUN --mount=type=bind,from=$A,target=/x true', 'yes no yes'],
  ['ENV A=${B:-c} D=${B#x}', 'yes yes yes'],
  ['ENV A=${B-c}', 'no yes yes'],
  ['ARG A=1 B=2', 'yes yes yes'],
  ['ARG TARGETPLATFORM=linux/arm64', 'no yes yes'],
  ['ARG TARGETSTAGE', 'differs yes yes'],
  ['ENV A=${PATH/#x/y}', 'yes differs yes'],
  ['ENV A=${PATH/x}', 'yes no yes'],
  ['ENV A=${PATH##*:}', 'differs yes yes'],
  ['ENV A=${PATH//[.:]/-}', 'yes differs yes'],
  ['ENV A=${PATH%\\.x}', 'yes no yes'],
  ['ENV A=${PATH%\\*}', 'differs yes yes'],
  ['ENV A=${PATH/x/\\/}', 'yes differs yes'],
  ['COPY <<E /x\nplain\nE', 'yes yes yes'],
  ["COPY <<E /x\nit's\nE", 'no yes yes'],
  ["COPY <<E /x\n'$PATH'\nE", 'yes differs yes'],
  ['COPY <<E /x\na\\b\nE', 'yes differs yes'],
  ['ONBUILD RUN <<E\ntrue\nE', 'differs yes yes'],
  ['ADD --keep-git-dir https://example.com/a.git /', 'no yes yes'],
  ['ADD --keep-git-dir=false https://example.com/a.git /', 'yes yes yes'],
  ['ADD --checksum=sha256:00 https://example.com/a /', 'yes yes yes'],
  ['ADD --checksum=sha256:00 a /', 'no no no'],
  ['RUN --mount=target=/x,ro=false true', 'no yes yes'],
  ['RUN --mount=target=/x,ro true', 'yes yes yes'],
  ['RUN --mount=type=secret,id=a,required=true true', 'yes yes yes'],
  ['RUN --mount=target=/x,U true', 'yes no yes'],
  ['RUN --mount=target=/x,U=true true', 'no no no'],
  ['RUN --mount=target=/x,Z true', 'yes no yes'],
  ['RUN --mount=type=BIND,target=/x true', 'no yes yes'],
  ['RUN --mount=TARGET=/x true', 'no yes yes'],
  ['RUN --mount=target=/X,source=A true', 'yes yes yes'],
  ['RUN --mount=type=devpts,target=/x true', 'no no no'],
  ['RUN --mount=target=/x,from= true', 'no yes no'],
  ['ONBUILD COPY --chmod=u+x a b', 'no yes yes'],
  ['FROM --after=0 scratch', 'yes no yes'],
  ['FROM oci-archive:a.tar', 'yes no yes'],
  ['FROM localhost:5000/a', 'yes yes yes'],
  ['FROM scratch AS 1st', 'yes no yes'],
  ['COPY --from=later a b\nFROM scratch AS later', 'no no yes'],
  ['FROM scratch AS Up\nFROM scratch\nCOPY --from=Up a b', 'yes yes yes'],
  ['FROM scratch AS Up\nFROM scratch\nCOPY --from=up a b', 'no yes yes'],
  ['FROM scratch AS Up\nFROM Up', 'yes no yes'],
  ['FROM scratch AS Up\nFROM up', 'no yes yes'],
  ['FROM scratch AS up\nFROM Up', 'no no yes'],
  ['FROM scratch AS up\nFROM scratch\nRUN --mount=from=up,target=/x true', 'yes yes yes'],
  ['FROM scratch AS up\nFROM scratch\nRUN --mount=from=UP,target=/x true', 'no yes yes'],
  ['FROM scratch\nRUN --mount=from=0,target=/x true', 'no no yes'],
  [`LABEL a=${'x'.repeat(65_536)}`, 'yes no yes'],
];

for (const [instruction, expected] of CASES)
  test(JSON.stringify(instruction.slice(0, 80)), () =>
    equal(answers(`FROM scratch\n${instruction}\n`), expected),
  );

test('directives and the name of the file', () => {
  equal(answers('# syntax=docker/dockerfile:1.26\nFROM scratch'), 'yes yes yes');
  equal(answers('# syntax=example.com/other:1\nFROM scratch'), 'differs yes differs');
  equal(answers('FROM scratch', 'Containerfile.in'), 'yes no yes');
});

test('a file with errors is for nobody', () => {
  equal(answers('FORM scratch'), 'no no no');
});

test('a construct is named once with all its lines, and every no says why', () => {
  const { constructs } = report('FROM scratch\nCOPY --link a b\nCOPY --link c d\nCOPY --chmod=u+x a b');
  deepEqual(
    constructs.map(({ what, lines }) => [what, lines]),
    [
      ['COPY --link', [2, 3]],
      ['COPY --chmod with a symbolic mode', [4]],
    ],
  );
  const lines = formatBuilders(report('FROM scratch\nCOPY --chmod=u+x a b'));
  deepEqual(lines.slice(0, 3), [
    `${BUILDERS.buildah}: no`,
    `${BUILDERS.buildkit}: yes`,
    `${BUILDERS.slipway}: yes`,
  ]);
  match(lines.at(-1) as string, /Buildah 1\.44: it takes octal modes only/);
});

test('a report for people names file and line and shows the line', () => {
  const text = 'FROM scratch\nCMD run me\n';
  const lines = formatReport(report(text), [{ name: 'Containerfile', text }]);
  ok(lines[0]?.startsWith('Containerfile:2: JSONArgsRecommended: CMD runs through a shell'));
  deepEqual(lines.slice(1), ['    CMD run me', '0 errors, 1 finding']);
});

test.run();
