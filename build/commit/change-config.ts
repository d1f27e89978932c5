import type { RuntimeConfig } from '../../image/config.ts';
import { BuildError } from '../error.ts';
import { parseContainerfile } from '../parse/parse.ts';
import { applyInstruction } from '../plan/apply.ts';
import { StageState } from '../plan/stage-state.ts';
import { mergeEnvironment } from '../plan/variables.ts';

/**
 * A change of the runtime configuration by a JSON config (`--config`) and Containerfile instructions (`--change`):
 * lists and maps are merged, entrypoint and command replace those of the image together.
 * @throws BuildError `bad-instruction` for an instruction that does more than configure
 */
export function overrideRuntime(
  given: RuntimeConfig,
  changes: readonly string[],
): (config: RuntimeConfig) => RuntimeConfig {
  const override = changes.length ? applied(given, changes) : given;
  return (config) => ({
    ...config,
    User: override.User || config.User,
    WorkingDir: override.WorkingDir || config.WorkingDir,
    StopSignal: override.StopSignal || config.StopSignal,
    Hostname: override.Hostname || config.Hostname,
    Domainname: override.Domainname || config.Domainname,
    ExposedPorts: { ...config.ExposedPorts, ...override.ExposedPorts },
    Volumes: { ...config.Volumes, ...override.Volumes },
    Labels: { ...config.Labels, ...override.Labels },
    Env: mergeEnvironment([...(config.Env ?? [])], [...(override.Env ?? [])]),
    ...(override.Entrypoint?.length || override.Cmd?.length
      ? { Entrypoint: override.Entrypoint, Cmd: override.Cmd }
      : {}),
    Healthcheck: override.Healthcheck ?? config.Healthcheck,
    OnBuild: override.OnBuild?.length ? override.OnBuild : config.OnBuild,
    Shell: override.Shell?.length ? override.Shell : config.Shell,
  });
}

function applied(given: RuntimeConfig, changes: readonly string[]): RuntimeConfig {
  const state = new StageState({
    userArguments: new Map(),
    headingArguments: new Map(),
    builtins: new Map(),
    defaultEnvironment: given.Env ?? [],
  });
  const { config } = state;
  Object.assign(config, structuredClone(dropEmpty(given)));
  const { instructions, escape: escapeChar } = parseContainerfile(changes.join('\n'), { file: '--change' });
  for (const instruction of instructions) {
    const effects = applyInstruction(state, instruction, escapeChar);
    if (effects.copy || effects.run)
      throw new BuildError(
        'bad-instruction',
        `"${instruction.original}" cannot be applied to a configuration`,
      );
  }
  return { ...config };
}

function dropEmpty(config: RuntimeConfig): Partial<RuntimeConfig> {
  return Object.fromEntries(
    Object.entries(config).filter(([, value]) => value !== undefined && value !== null),
  );
}
