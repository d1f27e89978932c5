import type { Instruction, RunInstruction } from '../parse/instruction.ts';
import { PROXY_ARGUMENTS } from '../plan/arguments.ts';
import type { StageState } from '../plan/stage-state.ts';
import { environmentMap } from '../plan/variables.ts';
import type { BuildOptions } from './options.ts';

/** What {@link createdBy} has to know beyond the instruction. */
export interface CreatedByInputs {
  readonly state: StageState;
  readonly options: BuildOptions;
  /** `file:<hex>`, `dir:<hex>`, `multi:<hex>` of what COPY or ADD added. */
  readonly contentSummary: string;
  /** Where COPY or ADD puts it, variables replaced. */
  readonly destination?: string;
  /** The last instruction of the last stage. */
  readonly isLastStep: boolean;
  /** Content checksums of bind mounts, in order. */
  readonly mountChecksums: readonly string[];
  readonly link: boolean;
}

/**
 * The `created_by` of a step's history entry, letter for letter as Buildah writes it, since it is what cached steps are
 * found by (imagebuildah/stage_executor.go getCreatedBy).
 */
export function createdBy(instruction: Instruction | undefined, inputs: CreatedByInputs): string {
  if (!instruction) return '/bin/sh';
  const { kind, original } = instruction;
  const metadata = buildMetadata(inputs.options, inputs.isLastStep, kind === 'add' || kind === 'copy');
  if (kind === 'arg') return `/bin/sh -c #(nop) ARG ${visibleNames(inputs.state).join(' ')}${metadata}`;
  if (kind === 'run') return runLine(instruction, inputs) + metadata;
  if (kind === 'add' || kind === 'copy') {
    const link = inputs.link ? ' --link' : '';
    return `/bin/sh -c #(nop) ${kind.toUpperCase()}${link} ${inputs.contentSummary} in ${destinationText(instruction.destination, inputs)} ${metadata}`;
  }
  return `/bin/sh -c #(nop) ${original}${metadata}`;
}

/** Buildah keeps the variables in it, and takes what another `--build-arg` put elsewhere for its own. */
function destinationText(written: string, { destination }: CreatedByInputs): string {
  return written.includes('$') ? (destination ?? written) : written;
}

function runLine(instruction: RunInstruction, inputs: CreatedByInputs): string {
  const values = usedArguments(inputs.state);
  const counted = values === '' ? '' : `|${values.split(' ').length} ${values} `;
  const heredocs = instruction.heredocs.map(({ content }) => `\n${heredocText(content)}`).join('');
  const checksums = inputs.mountChecksums.map((checksum) => `:${checksum}`).join('');
  return `${counted}/bin/sh -c ${instruction.original.slice(4)}${heredocs}${checksums}`;
}

/** Buildah trims it; spaces and empty lines that a command may read are told all the same. */
function heredocText(content: string): string {
  const trimmed = content.trim();
  return content === `${trimmed}\n` ? trimmed : content;
}

/** Names of the arguments that have a value, in order. */
export function visibleNames(state: StageState): string[] {
  return [...state.arguments.keys()].filter((name) => state.allowed.has(name)).sort();
}

function usedArguments(state: StageState): string {
  return runArguments(state)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(' ');
}

/** Values that a RUN sees as arguments; proxies count only where an ARG names them (SECURITY B27). */
export function runArguments(state: StageState): (readonly [name: string, value: string])[] {
  const configured = environmentMap(state.config.Env);
  const proxies: readonly string[] = PROXY_ARGUMENTS;
  return [...state.arguments]
    .filter(([name]) => state.allowed.has(name))
    .filter(([name]) => configured.has(name) || !proxies.includes(name) || state.declared.includes(name))
    .map(([name, value]) => [name, configured.get(name) ?? value]);
}

/** The flags that change what a step makes, so that a build without them does not take it for its own. */
export function buildMetadata(options: BuildOptions, isLastStep: boolean, isCopy: boolean): string {
  const unsetLabels = (options.unsetLabels ?? []).map((label) => `|unsetLabel=${label}`).join('');
  const inheritLabels = options.inheritLabels === false ? '|inheritLabels=false' : '';
  const unsetAnnotations = isLastStep
    ? [...(options.unsetAnnotations ?? [])]
        .sort()
        .map((name) => `|unsetAnnotation=${name}`)
        .join('')
    : '';
  const inheritAnnotations =
    isLastStep && options.inheritAnnotations === false ? '|inheritAnnotations=false' : '';
  const annotations = isLastStep ? (options.annotations ?? []).join(',') : '';
  return [
    unsetLabels,
    inheritLabels,
    unsetAnnotations,
    inheritAnnotations,
    mutations(options),
    annotations,
  ].join(isCopy ? ' ' : '');
}

function mutations(options: BuildOptions): string {
  const { timestampSeconds: timestamp, sourceDateEpochSeconds: epoch, rewriteTimestamp } = options;
  if (epoch !== undefined && rewriteTimestamp && !(timestamp !== undefined && timestamp < epoch))
    return `|clamp-mtime=${epoch}`;
  return timestamp === undefined ? '' : `|force-mtime=${timestamp}`;
}
