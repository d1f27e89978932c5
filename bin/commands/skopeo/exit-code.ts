import { SlipwayError } from '../../../errors.ts';
import type { CommandSpec } from '../../cli/contract.ts';
import { debug } from './surroundings.ts';

const NOT_FOUND = 2;

/**
 * Gives the command Skopeo's exit codes, 2 where the image is not there and 1 for everything else, and applies the
 * global flags that concern the whole process.
 */
export function withGlobals(command: CommandSpec): CommandSpec {
  const { run } = command;
  if (!run) return command;
  return {
    ...command,
    async run(context) {
      try {
        if (context.globals.changed('tls-details')) {
          const { applyTlsDetails } = await import('./tls-details.ts');
          await applyTlsDetails(context);
        }
        debug(context, `running ${context.commandPath.join(' ')}`, { arguments: context.args.join(' ') });
        return await run(context);
      } catch (error) {
        if (!(error instanceof SlipwayError) || error.exitCode !== undefined || !isNotFound(error))
          throw error;
        const { code, message, hint, retryable, facts } = error;
        throw new SlipwayError(code, message, {
          cause: error,
          exitCode: NOT_FOUND,
          retryable,
          facts,
          ...(hint ? { hint } : {}),
        });
      }
    },
  };
}

/** True where the image itself is not there. */
export function isNotFound({ code, facts, cause, message }: SlipwayError): boolean {
  if (code === 'not-found' && message.includes('does not resolve to an image ID')) return true;
  if (code === 'no-such-image' || facts.imageNotFound === true) return true;
  if (Array.isArray(facts.codes) && facts.codes.includes('MANIFEST_UNKNOWN')) return true;
  return cause instanceof SlipwayError && isNotFound(cause);
}
