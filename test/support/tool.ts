// Runs a tool in this process and keeps what it prints.
import { Readable, Writable } from 'node:stream';
import type { ToolSpec } from '../../bin/cli/contract.ts';
import { runTool } from '../../bin/cli/run-tool.ts';

export interface ToolRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCaptured(
  tool: ToolSpec,
  words: readonly string[],
  options: {
    readonly environment?: Record<string, string | undefined>;
    readonly workingDirectory?: string;
  } = {},
): Promise<ToolRun> {
  const [stdout, stderr] = [new Collector(), new Collector()];
  const code = await runTool(
    tool,
    words,
    {
      stdin: Readable.from([]),
      stdout,
      stderr,
      environment: options.environment ?? {},
      workingDirectory: options.workingDirectory ?? '/',
    },
    new AbortController().signal,
  );
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class Collector extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
