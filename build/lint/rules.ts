/** One of BuildKit's build checks, by the names that `# check=skip=` uses. */
export interface Rule {
  /** What the rule wants, in one sentence. */
  readonly about: string;
  /** BuildKit's page on it, where there is one. */
  readonly url?: string;
  /** Off unless `experimental=` names it. */
  readonly experimental?: boolean;
}

const page = (name: string) => ({ url: `https://docs.docker.com/go/dockerfile/rule/${name}/` });

/** The rules of Dockerfile syntax 1.26, in BuildKit's order. */
export const RULES = {
  StageNameCasing: { about: 'stage names are written in lower case', ...page('stage-name-casing') },
  FromAsCasing: { about: 'AS is written in the case of its FROM', ...page('from-as-casing') },
  NoEmptyContinuation: {
    about: 'no empty line stands inside a continued instruction',
    ...page('no-empty-continuation'),
  },
  ConsistentInstructionCasing: {
    about: 'all instructions are written in the same case',
    ...page('consistent-instruction-casing'),
  },
  DuplicateStageName: { about: 'no two stages have the same name', ...page('duplicate-stage-name') },
  ReservedStageName: { about: 'no stage is called scratch or context', ...page('reserved-stage-name') },
  JSONArgsRecommended: {
    about: 'CMD and ENTRYPOINT are JSON arrays, so that signals reach the program and not a shell',
    ...page('json-args-recommended'),
  },
  MaintainerDeprecated: {
    about: 'a label names the author, not MAINTAINER',
    ...page('maintainer-deprecated'),
  },
  UndefinedArgInFrom: {
    about: 'FROM uses arguments that are declared above it',
    ...page('undefined-arg-in-from'),
  },
  WorkdirRelativePath: {
    about: 'the first WORKDIR of a stage is absolute',
    ...page('workdir-relative-path'),
  },
  UndefinedVar: { about: 'variables are set before they are used', ...page('undefined-var') },
  MultipleInstructionsDisallowed: {
    about: 'a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK',
    ...page('multiple-instructions-disallowed'),
  },
  LegacyKeyValueFormat: { about: 'ENV and LABEL are written name=value', ...page('legacy-key-value-format') },
  InvalidBaseImagePlatform: { about: 'the base image is of the platform that is built for' },
  RedundantTargetPlatform: {
    about: 'FROM names no platform that it has anyway',
    ...page('redundant-target-platform'),
  },
  SecretsUsedInArgOrEnv: { about: 'ARG and ENV carry no secrets', ...page('secrets-used-in-arg-or-env') },
  InvalidDefaultArgInFrom: {
    about: 'the defaults of arguments make valid base image names',
    ...page('invalid-default-arg-in-from'),
  },
  FromPlatformFlagConstDisallowed: {
    about: 'FROM --platform is no fixed value',
    ...page('from-platform-flag-const-disallowed'),
  },
  CopyIgnoredFile: {
    about: 'what COPY and ADD name is not excluded by the ignore file',
    ...page('copy-ignored-file'),
  },
  InvalidDefinitionDescription: {
    about: 'a comment above ARG or a named FROM begins with its name',
    ...page('invalid-definition-description'),
    experimental: true,
  },
  ExposeProtoCasing: {
    about: 'protocols in EXPOSE are written in lower case',
    ...page('expose-proto-casing'),
  },
  ExposeInvalidFormat: {
    about: 'EXPOSE names ports of the container alone: no address, no host port',
    ...page('expose-invalid-format'),
  },
} as const satisfies Readonly<Record<string, Rule>>;

export type RuleName = keyof typeof RULES;
