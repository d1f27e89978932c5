import * as change from '../../../build/container/config.ts';
import type { WorkingContainer } from '../../../build/container/contract.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { BUILDAH_LEVEL } from './registry-flags.ts';
import type { Session } from './session.ts';

/**
 * Does what the base image's ONBUILD instructions say, as `buildah from` does: words are split at single blanks, and
 * the list is empty afterwards.
 */
export async function runOnBuild(
  context: CommandContext,
  session: Session,
  container: WorkingContainer,
  quiet: boolean,
): Promise<WorkingContainer> {
  const instructions = container.dockerConfig.config?.OnBuild ?? [];
  let current = container;
  for (const [index, text] of instructions.entries()) {
    const [command = '', ...words] = text.split(' ');
    if (!quiet) context.note(`STEP ${index + 1}: ${text}`);
    current = await oneInstruction(context, session, current, command.toUpperCase(), words);
  }
  return instructions.length ? change.clearOnBuild()(current) : current;
}

async function oneInstruction(
  context: CommandContext,
  session: Session,
  container: WorkingContainer,
  command: string,
  words: readonly string[],
): Promise<WorkingContainer> {
  const metadata = metadataChange(command, words);
  if (metadata) return metadata(container);
  if (command === 'ADD' || command === 'COPY') {
    const destination = words.length > 1 ? (words.at(-1) as string) : '';
    const sources = words.length > 1 ? words.slice(0, -1) : words;
    const extract = command === 'ADD';
    const { addToContainer } = await import('../../../build/add/add.ts');
    const added = await addToContainer(session.surroundings, container, destination, sources, { extract });
    return added.container;
  }
  if (command === 'RUN') {
    const { runInContainer } = await import('../../../build/container/run.ts');
    const { runFailure } = await import('../../../build/run/failure.ts');
    const result = await runInContainer(session.surroundings, container, words, {
      engine: `buildah-${BUILDAH_LEVEL}`,
    });
    if (result.exitCode !== 0) throw runFailure(container.isolation, result);
    return container;
  }
  context.note(`unknown OnBuild command "${command} ${words.join(' ')}"; ignored`);
  return container;
}

function metadataChange(
  command: string,
  words: readonly string[],
): ((container: WorkingContainer) => WorkingContainer) | undefined {
  const all = words.join(' ');
  const [first = ''] = words;
  const equals = first.indexOf('=');
  const name = equals < 0 ? first : first.slice(0, equals);
  const value = first.slice(equals + 1);
  switch (command) {
    case 'ANNOTATION':
      return equals < 0 ? change.unsetAnnotation(name) : change.setAnnotation(name, value);
    case 'CMD':
      return change.setCommand(words);
    case 'ENV':
      return equals < 0 ? change.unsetEnvironment(name) : change.setEnvironment(name, value);
    case 'ENTRYPOINT':
      return change.setEntrypoint(words);
    case 'EXPOSE':
      return change.addPort(all);
    case 'HOSTNAME':
      return change.setHostname(all);
    case 'LABEL':
      return equals < 0 ? change.unsetLabel(name) : change.setLabel(name, value);
    case 'MAINTAINER':
      return change.setAuthor(all);
    case 'ONBUILD':
      return change.addOnBuild(all);
    case 'SHELL':
      return change.setShell(words);
    case 'STOPSIGNAL':
      return change.setStopSignal(all);
    case 'USER':
      return change.setUser(all);
    case 'VOLUME':
      return change.addVolume(all);
    case 'WORKDIR':
    case 'WORKINGDIR':
      return change.setWorkingDirectory(all);
    default:
      return undefined;
  }
}
