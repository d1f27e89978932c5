import { statSync } from 'node:fs';
import type { DockerAccess } from '../../../transport/contract.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { parseDuration } from '../../cli/duration.ts';
import { UsageError } from '../../cli/error.ts';
import { splitCredentials } from '../../cli/registry-access.ts';

/** The version that Buildah's tests and scripts expect from a drop-in of this level. */
export const BUILDAH_LEVEL = '1.44.0';

/** Flags with which buildah's commands say how to reach a registry. */
export const REGISTRY_FLAGS: readonly FlagSpec[] = [
  {
    name: 'authfile',
    kind: 'string',
    usage: 'read credentials from this `FILE`; REGISTRY_AUTH_FILE names it too',
  },
  { name: 'cert-dir', kind: 'string', usage: 'use the certificates in this `DIRECTORY` with the registry' },
  { name: 'creds', kind: 'string', usage: 'use `USERNAME[:PASSWORD]` with the registry' },
  { name: 'tls-verify', kind: 'optionalBool', usage: 'require HTTPS and check certificates (default true)' },
  {
    name: 'signature-policy',
    kind: 'string',
    usage: 'read the signature policy from this `FILE`',
    hidden: true,
  },
];

/** How often a pull or push is tried again. */
export const RETRY_FLAGS: readonly FlagSpec[] = [
  { name: 'retry', kind: 'int', default: 3, usage: 'how often to try again after a failure' },
  { name: 'retry-delay', kind: 'string', default: '2s', usage: 'how long to wait before trying again' },
];

/** Reads {@link REGISTRY_FLAGS} where the command has them, and the global flags about registries.conf. */
export function dockerAccess(context: CommandContext, declared: ReadonlySet<string>): DockerAccess {
  const { flags, globals, io } = context;
  const text = (name: string) => (declared.has(name) && flags.changed(name) ? flags.string(name) : undefined);
  const credentials = text('creds');
  const authFile = text('authfile') || undefined;
  if (authFile !== undefined) checkAuthFile(authFile);
  return {
    environment: io.environment,
    userAgent: `Buildah/${BUILDAH_LEVEL}`,
    credentials: credentials === undefined ? undefined : givenCredentials(context, credentials),
    authFile,
    certificateDirectory: text('cert-dir'),
    tlsVerify: declared.has('tls-verify') ? flags.optionalBool('tls-verify') : undefined,
    registriesFile: globals.optionalString('registries-conf') || undefined,
    registriesDropInDirectory: globals.optionalString('registries-conf-dir') || undefined,
    shortNameAliasFile: globals.optionalString('short-name-alias-conf') || undefined,
  };
}

/** As {@link dockerAccess}; the password that `--creds` leaves out is asked for on the terminal. */
export async function askedAccess(
  context: CommandContext,
  declared: ReadonlySet<string>,
): Promise<DockerAccess> {
  const access = dockerAccess(context, declared);
  const { credentials } = access;
  if (
    !credentials ||
    credentials === 'none' ||
    credentials.password ||
    context.flags.string('creds').includes(':')
  )
    return access;
  const { askHidden } = await import('../../cli/ask-passphrase.ts');
  return {
    ...access,
    credentials: { ...credentials, password: await askHidden(context.io, 'Password: ') },
  };
}

/** A name without a password, which would have to be asked for, needs a terminal. */
function givenCredentials({ io }: CommandContext, text: string) {
  if (text !== '' && !text.includes(':') && !io.stdin.isTTY)
    throw new UsageError(
      'usage',
      'building system context: could not read password from terminal: inappropriate ioctl for device',
      { hint: 'give --creds USERNAME:PASSWORD' },
    );
  return splitCredentials(text);
}

function checkAuthFile(path: string): void {
  try {
    statSync(path);
  } catch (cause) {
    throw new UsageError(
      'usage',
      `credential file is not accessible: stat ${path}: no such file or directory`,
      {
        cause,
      },
    );
  }
}

/** `--retry-delay` in milliseconds; undefined where it is empty. @throws UsageError */
export function retryDelay({ flags }: Pick<CommandContext, 'flags'>): number | undefined {
  const text = flags.string('retry-delay');
  if (text === '') return undefined;
  try {
    return parseDuration(text);
  } catch (cause) {
    throw new UsageError(
      'usage',
      `unable to parse value provided ${JSON.stringify(text)} as --retry-delay: ${(cause as Error).message}`,
      { cause },
    );
  }
}
