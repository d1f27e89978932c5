import { fstatSync, statSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemErrorText } from '../../errors.ts';
import type { ToolSpec } from './contract.ts';
import { UsageError } from './error.ts';
import { runTool } from './run-tool.ts';
import { standardOutput } from './standard-output.ts';

/** Runs a tool as this process: signals become one AbortController, the exit code is set when output has drained. */
export async function main(tool: ToolSpec): Promise<void> {
  const controller = new AbortController();
  for (const [name, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(code);
      controller.abort(new UsageError('usage', `interrupted by ${name}`, { exitCode: code }));
    });
  }
  const output = standardOutput((error) => {
    writeSync(2, tool.formatError(`writing the output: ${systemErrorText(error)}`));
    process.exit(tool.failureExitCode);
  });
  const io = {
    // Opened where a command reads it: that loads readline and more.
    get stdin() {
      return process.stdin;
    },
    get stdinIsTerminal() {
      return isTerminal(0);
    },
    // Opened where a command needs a stream: that loads net and more.
    get stdout() {
      return output.stream();
    },
    get stderr() {
      return process.stderr;
    },
    writeOut: output.write,
    environment: process.env,
    workingDirectory: process.cwd(),
  };
  // Nothing is left to do by then, least of all to take V8's heap apart.
  process.once('beforeExit', () => process.exit());
  process.exitCode = await runTool(tool, process.argv.slice(2), io, controller.signal);
}

/** To ask node:tty loads net and streams, which takes longer than many a command: it is asked of devices alone. */
function isTerminal(fd: number): boolean {
  const status = fstatSync(fd);
  if (!status.isCharacterDevice() || status.rdev === statSync('/dev/null').rdev) return false;
  return isatty(fd);
}
