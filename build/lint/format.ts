import { BUILDERS, type Builder, type Construct } from './construct.ts';
import type { LintFile, LintProblem, LintReport } from './lint.ts';
import { RULES, type Rule } from './rules.ts';

/** The report for people: `file:line: Rule: what is wrong`, and the line itself. */
export function formatReport(report: LintReport, files: readonly LintFile[]): string[] {
  const rows = new Map(files.map(({ name, text }) => [name, text.split(/\r?\n/)]));
  const findings = report.findings.flatMap(({ rule, message, position: { file, line } }) => [
    `${file}:${line}: ${rule}: ${message}`,
    `    ${(rows.get(file)?.[line - 1] ?? '').trim().slice(0, 120)}`,
  ]);
  return [...report.problems.map(formatProblem), ...findings, ...closing(report)];
}

function formatProblem({ message, hint }: LintProblem): string {
  return `${message}${hint ? ` (${hint})` : ''}`;
}

function closing({ findings, problems, findingsFailBuilds, unknownBases }: LintReport): string[] {
  const count = (number: number, one: string) => `${number} ${one}${number === 1 ? '' : 's'}`;
  return [
    ...(unknownBases.length > 0
      ? [`not known, so rules about their variables and platform were left out: ${unknownBases.join(', ')}`]
      : []),
    `${count(problems.length, 'error')}, ${count(findings.length, 'finding')}`,
    ...(findingsFailBuilds && findings.length > 0
      ? ['# check=error=true: BuildKit fails a build that has findings']
      : []),
  ];
}

/** Which builders can build the file, and which constructs keep the others from it. */
export function formatBuilders(report: LintReport): string[] {
  const names = Object.keys(BUILDERS) as Builder[];
  const verdict = names.map((name) => `${BUILDERS[name]}: ${canBuild(report, name)}`);
  return [...verdict, ...report.constructs.flatMap(formatConstruct)];
}

function canBuild({ problems, constructs }: LintReport, builder: Builder): string {
  if (problems.length > 0) return 'no, the file has errors';
  const verdicts = constructs.map((construct) => construct.verdicts[builder]?.takes);
  if (verdicts.includes('no')) return 'no';
  return verdicts.includes('differs') ? 'yes, with another meaning' : 'yes';
}

function formatConstruct({ what, lines, verdicts }: Construct): string[] {
  const names = Object.keys(BUILDERS) as Builder[];
  const answers = names.map((name) => `${BUILDERS[name]} ${verdicts[name]?.takes ?? 'yes'}`);
  const reasons = names.flatMap((name) => {
    const verdict = verdicts[name];
    return verdict ? [`    ${BUILDERS[name]}: ${verdict.why}`] : [];
  });
  const shown = lines.slice(0, 5).join(', ') + (lines.length > 5 ? ', …' : '');
  return [`  ${what} (line ${shown}): ${answers.join(', ')}`, ...reasons];
}

/** The report as plain data for `--format json`. */
export function reportData(report: LintReport): object {
  const names = Object.keys(BUILDERS) as Builder[];
  return {
    errors: report.problems,
    findings: report.findings.map(({ rule, message, position }) => {
      const { url, about }: Rule = RULES[rule];
      const { file, line, endLine } = position;
      return { rule, message, about, ...(url ? { url } : {}), file, line, endLine };
    }),
    findingsFailBuilds: report.findingsFailBuilds,
    unknownBases: report.unknownBases,
    builders: names.map((builder) => ({
      builder,
      release: BUILDERS[builder],
      builds:
        canBuild(report, builder) === 'yes'
          ? 'yes'
          : canBuild(report, builder).startsWith('no')
            ? 'no'
            : 'differs',
    })),
    constructs: report.constructs.map(({ what, lines, verdicts }) => ({
      what,
      lines,
      ...Object.fromEntries(names.map((name) => [name, verdicts[name] ?? { takes: 'yes' }])),
    })),
  };
}
