import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { makeDirectories } from '../../../config/make-directories.ts';
import { isSystemError } from '../../../errors.ts';
import type { CommandContext, CommandSpec, Flags } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';

/** `slipway serve`: the embedded registry as a process of its own. */
export const serve: CommandSpec = {
  name: 'serve',
  summary: 'Serve a directory as an OCI registry',
  description:
    'Serves a directory as a registry that Docker, Podman, Skopeo, ORAS and this tool can pull from and push to. ' +
    'The address is printed on the first line of stdout once the registry listens; it runs until it is interrupted.',
  usage: '[flags]',
  examples: [
    'slipway serve --directory ./registry',
    'slipway serve --address 0.0.0.0:5000 --tls-cert site.pem --tls-key site.key --auth bearer --users users.txt',
  ],
  args: { max: 0 },
  flags: [
    {
      name: 'directory',
      short: 'd',
      kind: 'string',
      default: 'registry',
      usage: 'keep the content in `DIRECTORY`',
    },
    {
      name: 'address',
      short: 'a',
      kind: 'string',
      default: '127.0.0.1:5000',
      usage: 'listen on `HOST:PORT`; port 0 takes a free one',
    },
    {
      name: 'auth',
      kind: 'string',
      default: 'none',
      usage: 'ask clients for `KIND` of proof: none, basic, bearer',
    },
    {
      name: 'users',
      kind: 'string',
      usage: 'read name:password lines from `FILE` (htpasswd -p or -s); needed by --auth basic and bearer',
    },
    { name: 'anonymous-pull', kind: 'bool', usage: 'with --auth, let everybody pull' },
    { name: 'tls-cert', kind: 'string', usage: 'serve https with the PEM certificate chain in `FILE`' },
    { name: 'tls-key', kind: 'string', usage: 'the PEM private key of --tls-cert, in `FILE`' },
    {
      name: 'tls-client-ca',
      kind: 'string',
      usage: 'admit only clients with a certificate signed by the CA in `FILE`',
    },
    { name: 'read-only', kind: 'bool', usage: 'refuse pushes and deletes' },
    { name: 'access-log', kind: 'bool', usage: 'write a line on stderr for each request' },
    { name: 'gc', kind: 'bool', usage: 'before serving, remove uploads and blobs unused for a day' },
  ],
  run: async (context) => {
    const { startRegistry } = await import('../../../registry/server.ts');
    const { flags } = context;
    const directory = resolve(context.io.workingDirectory, flags.string('directory'));
    makeDirectories(directory);
    await using registry = await startRegistry({
      directory,
      ...parseAddress(flags.string('address')),
      ...(await tlsOptions(context)),
      ...(await authOptions(context)),
      readOnly: flags.bool('read-only'),
      ...(flags.bool('access-log')
        ? {
            onRequest: ({ method, url, status }) =>
              context.note(`${status} ${method} ${JSON.stringify(url)}`),
          }
        : {}),
    });
    if (flags.bool('gc')) {
      const { uploads, blobs, bytes } = await registry.collectGarbage();
      context.note(`removed ${uploads} uploads and ${blobs} blobs of ${bytes} bytes`);
    }
    context.print(registry.address);
    if (!context.signal.aborted) await once(context.signal, 'abort');
    return 0;
  },
};

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535)
    throw new UsageError('bad-flag', `invalid --address ${JSON.stringify(text)}: expected HOST:PORT`);
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

async function tlsOptions(context: CommandContext) {
  const { flags } = context;
  const [certificate, key, client] = [
    flags.optionalString('tls-cert'),
    flags.optionalString('tls-key'),
    flags.optionalString('tls-client-ca'),
  ];
  if (!certificate && !key && !client) return {};
  if (!certificate || !key) throw new UsageError('usage', '--tls-cert and --tls-key must be given together');
  const read = (path: string) => readText(context, path);
  return {
    tls: {
      certificate: await read(certificate),
      key: await read(key),
      ...(client ? { clientAuthority: await read(client) } : {}),
    },
  };
}

async function authOptions(context: CommandContext) {
  const { flags } = context;
  const kind = authKind(flags);
  const path = flags.optionalString('users');
  if (kind === 'none') {
    if (path) throw new UsageError('usage', '--users needs --auth basic or --auth bearer');
    return {};
  }
  if (!path) throw new UsageError('usage', `--auth ${kind} needs --users`);
  const { parseUsers } = await import('../../../registry/users.ts');
  const users = parseUsers(await readText(context, path));
  return { auth: { kind, users, anonymousPull: flags.bool('anonymous-pull') } };
}

function authKind(flags: Flags): 'none' | 'basic' | 'bearer' {
  const kind = flags.string('auth');
  if (kind === 'none' || kind === 'basic' || kind === 'bearer') return kind;
  throw new UsageError('bad-flag', `invalid --auth ${JSON.stringify(kind)}: expected none, basic or bearer`);
}

async function readText({ io }: CommandContext, path: string): Promise<string> {
  try {
    return await readFile(resolve(io.workingDirectory, path), 'utf8');
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new UsageError('usage', `cannot read ${path}: ${cause.message}`, { cause });
  }
}
