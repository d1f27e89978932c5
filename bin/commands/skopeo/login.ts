import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { askTerminal } from '../../cli/ask-terminal.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { renamedFlags } from '../../cli/flags.ts';
import { transportContext } from '../../cli/transport-context.ts';
import { commandSignal, warn } from './surroundings.ts';

const FILE_FLAGS: readonly FlagSpec[] = [
  { name: 'authfile', kind: 'string', usage: 'keep credentials in `FILE`' },
  { name: 'compat-auth-file', kind: 'string', usage: "keep credentials in Docker's config.json at `FILE`" },
  { name: 'tls-verify', kind: 'optionalBool', usage: 'require HTTPS and check certificates' },
];

/** `skopeo login`. */
export const loginCommand: CommandSpec = {
  name: 'login',
  summary: 'Log in to a registry',
  usage: '[command options] REGISTRY',
  examples: ['skopeo login quay.io', 'pass | skopeo login -u me --password-stdin quay.io'],
  args: { max: 1, message: 'login accepts only one registry to log in to' },
  flags: [
    ...FILE_FLAGS,
    { name: 'username', short: 'u', kind: 'string', usage: 'user name for the registry' },
    { name: 'password', short: 'p', kind: 'string', usage: 'password for the registry' },
    { name: 'password-stdin', kind: 'bool', usage: 'take the password from stdin' },
    { name: 'get-login', kind: 'bool', usage: 'print the user who is logged in' },
    { name: 'cert-dir', kind: 'string', usage: 'use certificates in `DIRECTORY`' },
    { name: 'verbose', short: 'v', kind: 'bool', usage: 'print where the credentials are kept' },
  ],
  async run(context) {
    const { flags, io } = context;
    const { login } = await import('../../../transport/login.ts');
    const username = flags.string('username');
    const password = flags.string('password');
    if (context.args.length === 0) throw new UsageError('usage', 'please provide a registry to log in to');
    await login(context.args[0], loginContext(context), {
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
      ...(flags.bool('password-stdin') ? { passwordFromStdin: await text(io.stdin) } : {}),
      getLogin: flags.bool('get-login'),
      verbose: flags.bool('verbose'),
      acceptRepositories: true,
      ask: (prompt, options) => askTerminal(context, prompt, options.hidden),
    });
  },
};

/** `skopeo logout`. */
export const logoutCommand: CommandSpec = {
  name: 'logout',
  summary: 'Log out of a registry',
  usage: '[command options] REGISTRY',
  examples: ['skopeo logout quay.io', 'skopeo logout --all'],
  args: { max: 1, message: 'logout accepts only one registry to log out from' },
  flags: [...FILE_FLAGS, { name: 'all', short: 'a', kind: 'bool', usage: 'forget every registry' }],
  async run(context) {
    if (context.args.length === 0 && !context.flags.bool('all'))
      throw new UsageError('usage', 'please provide a registry to log out from');
    const { logout } = await import('../../../transport/login.ts');
    await logout(context.args[0], loginContext(context), {
      all: context.flags.bool('all'),
      acceptRepositories: true,
    });
  },
};

function loginContext(context: CommandContext) {
  const { io } = context;
  const { docker } = transportContext(withoutCredentials(context), { signal: commandSignal(context) });
  const { authFile, ...access } = docker ?? { environment: io.environment };
  const path = (name: string) =>
    context.flags.changed(name) ? resolve(io.workingDirectory, context.flags.string(name)) : undefined;
  const dockerConfigFile = path('compat-auth-file');
  return {
    signal: commandSignal(context),
    onWarning: (message: string) => warn(context, message),
    print: (line: string) => context.print(line),
    docker: {
      ...access,
      ...(authFile ? { authFile: resolve(io.workingDirectory, authFile) } : {}),
      ...(dockerConfigFile ? { dockerConfigFile } : {}),
    },
  };
}

/** User name and password are what is tried, not what registries are reached with. */
function withoutCredentials(context: CommandContext): CommandContext {
  const flags = renamedFlags(context.flags, (name) =>
    name === 'username' || name === 'password' ? undefined : name,
  );
  return { ...context, flags };
}
