import { text as readAll } from 'node:stream/consumers';
import { login as logIn } from '../../../transport/login.ts';
import { askTerminal } from '../../cli/ask-terminal.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { dockerAccess } from './registry-flags.ts';

const FLAGS: readonly FlagSpec[] = [
  {
    name: 'authfile',
    kind: 'string',
    usage: 'keep credentials in this `FILE`; REGISTRY_AUTH_FILE names it too',
  },
  { name: 'cert-dir', kind: 'string', usage: 'use the certificates in this `DIRECTORY`' },
  { name: 'compat-auth-file', kind: 'string', usage: "keep credentials in this file in Docker's form" },
  { name: 'get-login', kind: 'bool', usage: 'print the user that is logged in' },
  { name: 'password', short: 'p', kind: 'string', usage: 'password' },
  { name: 'password-stdin', kind: 'bool', usage: 'read the password from stdin' },
  { name: 'tls-verify', kind: 'optionalBool', usage: 'require HTTPS and check certificates (default true)' },
  { name: 'username', short: 'u', kind: 'string', usage: 'user name' },
  { name: 'verbose', short: 'v', kind: 'bool', usage: 'say where the credentials were kept' },
];

export const login: CommandSpec = {
  name: 'login',
  summary: 'Log in to a registry',
  usage: '[flags] [REGISTRY]',
  examples: ['buildah login registry.example.com'],
  flags: FLAGS,
  run: runLogin,
};

async function runLogin(context: CommandContext): Promise<void> {
  const { flags, args, io, print, note, signal } = context;
  if (args.length === 0) throw usage('please specify a registry to login to');
  if (args.length > 1) throw usage('too many arguments, login takes only 1 argument');
  const compat = flags.string('compat-auth-file');
  const declared = new Set(['cert-dir', 'tls-verify']);
  const docker = {
    ...dockerAccess(context, declared),
    authFile: flags.string('authfile') || undefined,
    ...(compat ? { dockerConfigFile: compat } : {}),
  };
  await logIn(
    args[0],
    { docker, print, onWarning: note, signal },
    {
      username: flags.string('username') || undefined,
      password: flags.string('password') || undefined,
      passwordFromStdin: flags.bool('password-stdin') ? await readAll(io.stdin) : undefined,
      getLogin: flags.bool('get-login'),
      acceptRepositories: true,
      verbose: flags.bool('verbose'),
      ask: (prompt, { hidden }) => askTerminal(context, prompt, hidden),
    },
  );
}
