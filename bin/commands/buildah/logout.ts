import { logout as logOut } from '../../../transport/login.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { dockerAccess } from './registry-flags.ts';

const FLAGS: readonly FlagSpec[] = [
  { name: 'all', short: 'a', kind: 'bool', usage: 'forget the credentials of every registry' },
  {
    name: 'authfile',
    kind: 'string',
    usage: 'credentials are in this `FILE`; REGISTRY_AUTH_FILE names it too',
  },
  { name: 'compat-auth-file', kind: 'string', usage: "credentials are in this file in Docker's form" },
];

export const logout: CommandSpec = {
  name: 'logout',
  summary: 'Forget the credentials of a registry',
  usage: '[flags] [REGISTRY]',
  flags: FLAGS,
  run: runLogout,
};

async function runLogout(context: CommandContext): Promise<void> {
  const { flags, args, print, note, signal } = context;
  if (args.length > 1) throw usage('too many arguments, logout takes at most 1 argument');
  if (args.length === 0 && !flags.bool('all')) throw usage('registry must be given');
  const compat = flags.string('compat-auth-file');
  const docker = {
    ...dockerAccess(context, new Set()),
    authFile: flags.string('authfile') || undefined,
    ...(compat ? { dockerConfigFile: compat } : {}),
  };
  await logOut(
    args[0],
    { docker, print, onWarning: note, signal },
    { all: flags.bool('all'), acceptRepositories: true },
  );
}
