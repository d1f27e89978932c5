import { Writable } from 'node:stream';
import type { BuildView } from './build-view.ts';
import type { CommandIo } from './contract.ts';

/** Buildah's lines and the output of commands, all of it on stderr: stdout is for results. */
export function plainView({ stderr }: CommandIo): BuildView {
  const stream = stderr as Writable;
  return { stdout: stream, stderr: stream, messages: stream, close: () => undefined };
}

/** One JSON document a line on stderr for each event, and nothing else. */
export function jsonView({ stderr }: CommandIo): BuildView {
  const nowhere = discard();
  return {
    stdout: nowhere,
    stderr: nowhere,
    messages: nowhere,
    onEvent: (event) => void stderr.write(`${JSON.stringify(event)}\n`),
    close: () => undefined,
  };
}

function discard(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
