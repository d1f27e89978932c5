import { BUILTIN_ARGUMENTS } from '../plan/arguments.ts';
import type { BuildSession } from './session.ts';

/** Warns of ARGs of needed stages that have neither a default nor a value. */
export function warnAboutArguments(session: BuildSession): void {
  const { options, graph, stages } = session;
  const found = new Set<string>();
  for (const stage of stages) {
    const counts = graph.needed.has(stage.index) || options.skipUnusedStages === false;
    for (const instruction of stage.instructions) {
      if (instruction.kind !== 'arg') continue;
      for (const word of instruction.words) {
        const equals = word.indexOf('=');
        const name = equals < 0 ? word : word.slice(0, equals);
        if (equals >= 0 && equals < word.length - 1) found.add(name);
        if (found.has(name) || options.arguments.has(name) || !counts) continue;
        if (BUILTIN_ARGUMENTS.has(name) || stage.headingArguments.has(name)) continue;
        session.surroundings.onWarning?.(
          `missing "${name}" build argument. Try adding "--build-arg ${name}=<VALUE>" to the command line`,
        );
      }
    }
  }
}
