import { MessageSocket } from '../../../store/kernel/message-socket.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { imageFlags, transportContext } from '../../cli/transport-context.ts';
import { ImageProxy } from './image-proxy-methods.ts';
import { commandSignal, debug, openPolicy, prefixed } from './surroundings.ts';

const LIMIT_REQUEST_BYTES = 32 * 1024;

/** `skopeo experimental-image-proxy`: images for a program that has one end of a pair of sockets. */
export const imageProxy: CommandSpec = {
  name: 'experimental-image-proxy',
  summary: 'Fetch images for the program at the other end of a socket',
  description:
    'Answers requests in JSON on a pair of sockets (SOCK_SEQPACKET) of which it has one end, as libraries that read images through Skopeo expect.',
  usage: '[command options]',
  examples: ['skopeo experimental-image-proxy --sockfd 3'],
  hidden: true,
  flags: [
    ...registryFlags(),
    ...imageFlags(),
    { name: 'sockfd', kind: 'int', default: 0, usage: 'serve on the open socket of this number' },
  ],
  run: serve,
};

async function serve(context: CommandContext): Promise<void> {
  if (context.args.length > 0)
    throw new UsageError('usage', `accepts 0 arg(s), received ${context.args.length}`);
  const signal = commandSignal(context);
  const socket = openSocket(context.flags.number('sockfd'));
  await using proxy = new ImageProxy({
    workingDirectory: context.io.workingDirectory,
    images: transportContext(context, { signal }),
    openPolicy: () => openPolicy(context),
  });
  for (;;) {
    const request = await socket.receive(signal).catch(prefixed('reading socket'));
    if (request === undefined) return;
    const answer = await proxy.answer(request);
    if (answer === undefined) return debug(context, 'terminating');
    try {
      socket.send(Buffer.from(JSON.stringify(answer.reply)), answer.descriptors);
    } finally {
      answer.sent();
    }
  }
}

function openSocket(descriptor: number): MessageSocket {
  try {
    return new MessageSocket(descriptor, LIMIT_REQUEST_BYTES);
  } catch (cause) {
    throw new UsageError('usage', 'file file+net sock: getsockopt: socket operation on non-socket', {
      cause,
      hint: 'name one end of a pair of sockets with --sockfd',
    });
  }
}
