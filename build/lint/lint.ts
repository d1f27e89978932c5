import { SlipwayError } from '../../errors.ts';
import type { ImageConfig } from '../../image/config.ts';
import type { Platform } from '../../image/platform.ts';
import { parseExplicitPlatform } from '../../image/platform.ts';
import type { FromInstruction, Instruction } from '../parse/instruction.ts';
import { type Containerfile, parseInstruction } from '../parse/parse.ts';
import { type ScannedFile, scanContainerfile } from '../parse/scan.ts';
import { platformArguments } from '../plan/arguments.ts';
import { type StageGraph, stageGraph } from '../plan/graph.ts';
import { StageNames } from '../plan/stage-names.ts';
import { headingValues, newStageState, type Stage, splitStages, throughTarget } from '../plan/stages.ts';
import { firstOf } from '../plan/variables.ts';
import { constructsOf } from './builders.ts';
import { type CheckOptions, DEFAULT_CHECK, parseCheckOptions } from './check-options.ts';
import type { Construct } from './construct.ts';
import { checkFile } from './file-rules.ts';
import { type Finding, Findings } from './findings.ts';
import { checkBasePlatform, checkFromLine } from './from-rules.ts';
import { checkStage, type WalkedStage } from './stage-rules.ts';
import { checkSyntax } from './syntax-rules.ts';
import { type IgnoreScope, ignoreScope } from './value-rules.ts';

/** What a Containerfile is looked at with; nothing here is read from anywhere. */
export interface LintOptions {
  readonly platform: Platform;
  readonly buildPlatform: Platform;
  /** `--build-arg`. */
  readonly arguments?: ReadonlyMap<string, string>;
  /** Only this stage and those it needs; empty: every stage. */
  readonly target?: string;
  /** Names of `--build-context`. */
  readonly contexts?: ReadonlySet<string>;
  /** Patterns of the main context's ignore file. */
  readonly ignorePatterns?: readonly string[];
  /** Configurations of base images by the name that FROM has; a missing one silences what depends on it. */
  readonly bases?: ReadonlyMap<string, Pick<ImageConfig, 'os' | 'architecture' | 'variant' | 'config'>>;
}

/** One Containerfile; several go on where the one before ends. */
export interface LintFile {
  /** As it is named in messages. */
  readonly name: string;
  readonly text: string;
}

/** Why the file cannot be built as it is; the message begins with file and line where they are known. */
export interface LintProblem {
  readonly message: string;
  readonly hint?: string;
  readonly line?: number;
}

export interface LintReport {
  /** By file and line. */
  readonly findings: readonly Finding[];
  readonly problems: readonly LintProblem[];
  /** `# check=error=true`: BuildKit's builds fail because of the findings. */
  readonly findingsFailBuilds: boolean;
  /** Base images whose configuration was not given, so that rules about their variables were left out. */
  readonly unknownBases: readonly string[];
  /** What not every builder takes, by line. */
  readonly constructs: readonly Construct[];
}

/**
 * Looks at Containerfiles by the rules of Dockerfile syntax 1.26. A pure function: it reads no file and no registry.
 * @throws BuildError `bad-option` for a `# check=` that is wrong
 */
export function lintContainerfiles(files: readonly LintFile[], options: LintOptions): LintReport {
  return new Linter(files, options).run();
}

/** The images that stages start from, as FROM names them once its variables are replaced. */
export function baseImages(files: readonly LintFile[], options: LintOptions): string[] {
  return new Linter(files, options).bases();
}

interface ParsedFile extends Containerfile {
  readonly text: string;
  readonly scanned: ScannedFile;
}

class Linter {
  readonly #files: readonly LintFile[];
  readonly #options: LintOptions;
  readonly #problems: LintProblem[] = [];
  readonly #unknown = new Set<string>();
  readonly #arguments: ReadonlyMap<string, string>;
  readonly #builtins: ReadonlyMap<string, string>;

  constructor(files: readonly LintFile[], options: LintOptions) {
    this.#files = files;
    this.#options = options;
    this.#arguments = options.arguments ?? new Map();
    this.#builtins = platformArguments(options.platform, options.buildPlatform, options.target ?? '');
  }

  run(): LintReport {
    const parsed = this.#parseAll();
    const check = this.#checkOptions(parsed[0]?.scanned.check);
    const findings = new Findings(check);
    const instructions = parsed.flatMap((file) => file.instructions);
    for (const instruction of instructions) checkSyntax(instruction, findings);
    if (this.#problems.length === 0) this.#checkParsed(parsed, instructions, findings);
    return {
      findings: findings.sorted(this.#files.map(({ name }) => name)),
      problems: this.#problems,
      findingsFailBuilds: check.error,
      unknownBases: [...this.#unknown],
      constructs: parsed.flatMap((file) =>
        constructsOf(file.text, file.file, file.scanned, file.instructions),
      ),
    };
  }

  bases(): string[] {
    const parsed = this.#parseAll();
    const stages = this.#attempt(() => this.#stages(parsed)) ?? [];
    const { contexts } = this.#options;
    const names = new StageNames(stages);
    const images = stages.filter(({ base }) => base !== 'scratch' && !contexts?.has(base));
    return [
      ...new Set(
        images.map(({ base, index }) => (names.find(base, { before: index }) ? '' : base)).filter(Boolean),
      ),
    ];
  }

  #attempt<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof SlipwayError)) throw error;
      const { line } = error.facts;
      this.#problems.push({
        message: error.message,
        ...(error.hint ? { hint: error.hint } : {}),
        ...(typeof line === 'number' ? { line } : {}),
      });
      return undefined;
    }
  }

  #checkOptions(directive: string | undefined): CheckOptions {
    const given = this.#arguments.get('BUILDKIT_DOCKERFILE_CHECK') ?? directive?.split(/\s/, 1)[0];
    return given === undefined ? DEFAULT_CHECK : parseCheckOptions(given);
  }

  #parseAll(): readonly ParsedFile[] {
    return this.#files.flatMap(({ name, text }) => {
      const scanned = this.#attempt(() => scanContainerfile(text, name));
      if (!scanned) return [];
      const instructions = scanned.lines.flatMap(
        (line) => this.#attempt(() => parseInstruction(line, scanned.escape)) ?? [],
      );
      return [{ file: name, text, scanned, instructions, escape: scanned.escape }];
    });
  }

  #stages(files: readonly Containerfile[]): readonly Stage[] {
    const all = splitStages(files, { arguments: this.#arguments, builtins: this.#builtins });
    return throughTarget(all, this.#options.target ?? '');
  }

  #checkParsed(
    files: readonly Containerfile[],
    instructions: readonly Instruction[],
    findings: Findings,
  ): void {
    checkFile(instructions, findings);
    this.#checkFromLines(files, instructions, findings);
    const stages = this.#attempt(() => this.#stages(files));
    const graph = stages && this.#attempt(() => this.#graph(stages));
    if (!stages || !graph) return;
    const wanted = this.#options.target ? stages.filter(({ index }) => graph.needed.has(index)) : stages;
    const ignore = ignoreScope(this.#options.ignorePatterns ?? []);
    const walked = new Map<number, WalkedStage>();
    for (const stage of wanted) {
      const base = graph.needs[stage.index]?.base;
      const done = this.#attempt(() =>
        this.#checkStage(stage, base === undefined ? undefined : walked.get(base), ignore, findings),
      );
      if (done) walked.set(stage.index, done);
    }
  }

  #graph(stages: readonly Stage[]): StageGraph {
    const contexts = this.#options.contexts ?? new Set<string>();
    return stageGraph(stages, contexts, { arguments: this.#arguments, builtins: this.#builtins });
  }

  #checkFromLines(
    files: readonly Containerfile[],
    instructions: readonly Instruction[],
    findings: Findings,
  ): void {
    const [file] = files;
    const given = file && this.#attempt(() => headingValues(file, this.#arguments, this.#builtins));
    const defaults = file && this.#attempt(() => headingValues(file, new Map(), this.#builtins));
    if (!given || !defaults) return;
    const scope = {
      variables: firstOf(given, this.#builtins),
      defaults: firstOf(defaults, this.#builtins),
      declared: [...headingNames(instructions), ...this.#builtins.keys()],
      escape: file.escape,
      buildPlatform: this.#options.buildPlatform,
    };
    for (const from of instructions.filter((one): one is FromInstruction => one.kind === 'from'))
      checkFromLine(from, scope, findings);
  }

  #checkStage(
    stage: Stage,
    below: WalkedStage | undefined,
    ignore: IgnoreScope | undefined,
    findings: Findings,
  ): WalkedStage {
    const state = newStageState(stage, { arguments: this.#arguments, builtins: this.#builtins }, []);
    if (below) {
      const { knowsVariables, setsWorkingDirectory } = below;
      const config = { ...below.state.config, Env: below.state.imageEnvironment() };
      return checkStage(stage, { state, config, knowsVariables, setsWorkingDirectory, ignore }, findings);
    }
    const base = this.#options.bases?.get(stage.base);
    const knowsVariables = base !== undefined || stage.base === 'scratch';
    if (!knowsVariables && !this.#options.contexts?.has(stage.base)) this.#unknown.add(stage.base);
    if (base) this.#comparePlatform(stage, base, findings);
    return checkStage(
      stage,
      { state, config: base?.config ?? {}, knowsVariables, setsWorkingDirectory: false, ignore },
      findings,
    );
  }

  #comparePlatform(stage: Stage, actual: Platform, findings: Findings): void {
    const { platform, buildPlatform } = this.#options;
    const wanted =
      stage.platform === undefined ? platform : parseExplicitPlatform(stage.platform, buildPlatform);
    checkBasePlatform(stage.from, stage.base, wanted, actual, findings);
  }
}

function headingNames(instructions: readonly Instruction[]): readonly string[] {
  const firstFrom = instructions.findIndex(({ kind }) => kind === 'from');
  return instructions
    .slice(0, Math.max(0, firstFrom))
    .flatMap((instruction) => (instruction.kind === 'arg' ? instruction.words : []))
    .map((word) => word.split('=', 1)[0] as string);
}
