import type { Writable } from 'node:stream';
import type { OnBuildEvent } from '../../build/exec/events.ts';
import type { CommandContext, CommandIo } from './contract.ts';

/** How a build is shown while it runs. */
export interface BuildView {
  /** Where the build's own lines and the output of commands go. */
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** For the command's other messages, such as warnings. */
  readonly messages: CommandIo['stderr'];
  readonly onEvent?: OnBuildEvent;
  /** Takes what moves off the screen. Call it before results are printed. */
  close(): void;
}

/** True where lines that change in place can be shown, and are not in the way of anything that was asked for. */
export function canShowLive(
  { io, flags, globals }: CommandContext,
  streams: readonly ('stdout' | 'stderr')[],
): boolean {
  const wantsLines =
    ['trace', 'debug'].includes(globals.string('log-level').toLowerCase()) || globals.bool('debug');
  return (
    !wantsLines &&
    !flags.bool('quiet') &&
    !flags.bool('stdin') &&
    !flags.string('logfile') &&
    io.environment.TERM !== 'dumb' &&
    // Last, since it opens them.
    streams.every((name) => io[name].isTTY)
  );
}
