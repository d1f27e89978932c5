import { equal, match } from 'node:assert/strict';
import * as fs from 'node:fs';
import { Writable } from 'node:stream';
import { suite } from 'uvu';
import type { CommandContext, CommandSpec, ToolSpec } from '../../../bin/cli/contract.ts';
import { runTool } from '../../../bin/cli/run-tool.ts';
import { SlipwayError, systemErrorText } from '../../../errors.ts';

const seen: CommandContext[] = [];
const echo: CommandSpec = {
  name: 'echo',
  summary: 'Print words',
  usage: '[flags] WORD...',
  flags: [{ name: 'upper', short: 'u', kind: 'bool', usage: 'print capitals' }],
  args: { min: 1 },
  run: async (context) => {
    seen.push(context);
    context.print(context.args.join(' '));
  },
};
const fail: CommandSpec = {
  name: 'fail',
  summary: 'Fail',
  usage: '',
  run: async () => {
    throw new SlipwayError('x', 'it broke', { hint: 'mend it', exitCode: 3 });
  },
};
const inject: CommandSpec = {
  name: 'inject',
  summary: 'Fail with the words of others',
  usage: '',
  run: async () => {
    throw new SlipwayError('x', 'tag \u001b]0;title\u0007\u202Egnp.exe', { hint: 'it has \u001b[2J' });
  },
};
const untidy: CommandSpec = {
  name: 'untidy',
  summary: 'Fail, and then fail to clean up',
  usage: '',
  run: async () => {
    using _one = { [Symbol.dispose]: () => fs.rmdirSync('/nowhere/one') };
    using _two = { [Symbol.dispose]: () => fs.rmdirSync('/nowhere/two') };
    throw new SlipwayError('x', 'it broke', { exitCode: 3 });
  },
};
const group: CommandSpec = {
  name: 'group',
  summary: 'A group',
  usage: '',
  commands: [{ name: 'echo', summary: 'Print', load: async () => echo }],
};
const tool: ToolSpec = {
  name: 'tool',
  version: '1.2.3',
  summary: 'A tool',
  usage: '[flags]',
  failureExitCode: 125,
  formatError: (message) => `Error: ${message}\n`,
  flags: [
    { name: 'root', kind: 'string', usage: 'a `directory`' },
    { name: 'debug', kind: 'bool', usage: 'more' },
  ],
  commands: [
    { name: 'echo', aliases: ['say'], summary: 'Print words', load: async () => echo },
    { name: 'fail', summary: 'Fail', load: async () => fail },
    { name: 'inject', summary: 'Fail with the words of others', load: async () => inject },
    { name: 'untidy', summary: 'Fail twice', load: async () => untidy },
    { name: 'group', summary: 'A group', load: async () => group },
  ],
};

async function run(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const texts = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    new Writable({
      write: (chunk, _encoding, done) => {
        texts[key] += String(chunk);
        done();
      },
    });
  const io = {
    stdin: process.stdin,
    stdout: sink('out'),
    stderr: sink('err'),
    environment: {},
    workingDirectory: '/',
  };
  const code = await runTool(tool, words, io, new AbortController().signal);
  return { code, ...texts };
}

const test = suite('running a tool');
test('global flags before and behind the command', async () => {
  equal((await run('--root', '/a', 'echo', 'x', '--debug')).out, 'x\n');
  equal(seen.at(-1)?.globals.string('root'), '/a');
  equal(seen.at(-1)?.globals.bool('debug'), true);
});
test('aliases and nested commands', async () => {
  equal((await run('say', 'x')).out, 'x\n');
  equal((await run('group', 'echo', '-u', 'y')).out, 'y\n');
});
test('--version', async () => equal((await run('--version')).out, 'tool version 1.2.3\n'));
test('help is the same by flag and by command, and the answer without arguments', async () => {
  const text = (await run('--help')).out;
  equal((await run('help')).out, text);
  equal((await run()).out, text);
  match(text, /Available Commands:\n {2}echo {8}Print words/);
  equal((await run('help', 'echo')).out, (await run('echo', '--help')).out);
  match(
    (await run('echo', '--help')).out,
    /Usage:\n {2}tool echo \[flags\] WORD\.\.\.\n\nFlags:\n {2}-h, --help/,
  );
  match((await run('group', 'NoSuch')).out, /Usage:\n {2}tool group \[command\]/);
});
test('an unknown command is an error with the nearest names', async () => {
  const { code, err } = await run('ech');
  equal(code, 125);
  equal(err, 'Error: unknown command "ech" for "tool"\n\nDid you mean this?\n\techo\n\n');
});
test('errors: exit code, hint, argument count, unknown flag', async () => {
  const failed = await run('fail');
  equal(failed.code, 3);
  equal(failed.err, 'Error: it broke (mend it)\n');
  equal((await run('echo')).err, 'Error: requires at least 1 arg(s), only received 0\n');
  equal((await run('echo', '--nope')).err, 'Error: unknown flag: --nope\n');
});
test('a cleanup that fails hides neither the first failure nor its exit code', async () => {
  const { code, err } = await run('untidy');
  equal(code, 3);
  equal(err, 'Error: it broke\n');
});
test('failed system calls are told as the originals do', () => {
  for (const [message, text] of [
    ["ENOENT: no such file or directory, open '/x y'", 'open /x y: no such file or directory'],
    [
      "initializing oci:/a:b: ENOTDIR: not a directory, mkdir '/a'",
      'initializing oci:/a:b: mkdir /a: not a directory',
    ],
    ['EIO: i/o error, read', 'read: input/output error'],
    ["EISDIR: illegal operation on a directory, open '/d'", 'open /d: is a directory'],
    ['EVERYTHING: else', 'EVERYTHING: else'],
  ])
    equal(systemErrorText(new Error(message)), text);
});
test('R13: control characters of a registry or an archive do not reach the terminal', async () => {
  const { err } = await run('inject');
  equal(err, 'Error: tag \\u001b]0;title\\u0007\\u202egnp.exe (it has \\u001b[2J)\n');
});
test.run();
