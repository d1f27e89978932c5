import type { BuildOptions } from './options.ts';
import { hasIdentity } from './step-config.ts';
import type { InputCollector } from './step-inputs.ts';

/** Notes the flags that have a say in what a step's image is. Those that were not given count as nothing. */
export function tellFlags(options: BuildOptions, inputs: InputCollector, isLastStep: boolean): void {
  for (const [flag, value] of Object.entries(flagsOf(options, isLastStep)))
    if (!isAbsent(value)) inputs.other(flag, value);
  if (hasIdentity(options)) inputs.builder(options.builderVersion);
}

function flagsOf(options: BuildOptions, isLastStep: boolean): Readonly<Record<string, unknown>> {
  return {
    '--format': options.format,
    '--timestamp': options.timestampSeconds,
    '--source-date-epoch': options.sourceDateEpochSeconds,
    '--rewrite-timestamp': options.rewriteTimestamp || undefined,
    '--identity-label': options.identityLabel,
    '--unsetlabel': options.unsetLabels,
    '--inherit-labels': options.inheritLabels,
    '--unsetenv': options.unsetEnvironment,
    '--os-version': options.osVersion,
    '--os-feature': options.osFeatures,
    '--omit-history': options.omitHistory || undefined,
    ...(isLastStep ? flagsOfLastStep(options) : {}),
  };
}

function flagsOfLastStep(options: BuildOptions): Readonly<Record<string, unknown>> {
  return {
    '--annotation': options.annotations,
    '--unsetannotation': options.unsetAnnotations,
    '--inherit-annotations': options.inheritAnnotations,
    '--created-annotation': options.createdAnnotation,
    '--layer-label': options.output === '' ? options.layerLabels : undefined,
  };
}

const isAbsent = (value: unknown): boolean =>
  value === undefined || (Array.isArray(value) && value.length === 0);
