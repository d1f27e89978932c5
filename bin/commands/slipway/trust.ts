import { access, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { findPolicy, policyPaths } from '../../../config/policy.ts';
import { readSignatureStorage, registriesDirectory } from '../../../config/registries-d.ts';
import type { TrustChoice } from '../../../sign/policy/edit.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { renderTable } from '../../cli/table.ts';

const PLACES: FlagSpec[] = [
  { name: 'policypath', kind: 'string', usage: 'use the policy file at `PATH`' },
  { name: 'registrypath', kind: 'string', usage: 'use the registries.d at `DIRECTORY`' },
];

/** `slipway trust`: as `podman image trust`. */
export const trust: CommandSpec = {
  name: 'trust',
  summary: 'Show and edit which images may be read: policy.json and registries.d',
  usage: '',
  commands: [
    { name: 'show', summary: 'Show the trust policy', load: async () => show },
    { name: 'set', summary: 'Set the rule for a registry, namespace or repository', load: async () => set },
  ],
};

/** `slipway trust show` and `slipway trust-show`. */
export const show: CommandSpec = {
  name: 'show',
  summary: 'Show the trust policy',
  description: 'A REGISTRY may be named, as Podman allows, and changes nothing: the whole policy is shown.',
  usage: '[flags] [REGISTRY]',
  args: { max: 1 },
  flags: [
    ...PLACES,
    { name: 'json', short: 'j', kind: 'bool', usage: 'print JSON' },
    { name: 'noheading', short: 'n', kind: 'bool', usage: 'print no column headings' },
    { name: 'raw', kind: 'bool', usage: 'print the policy file itself' },
  ],
  run: async (context) => {
    const { flags, io } = context;
    const path = await existingPolicy(context);
    if (flags.bool('raw')) {
      context.print(path === undefined ? '' : await readFile(path, 'utf8'));
      return;
    }
    const [{ describeTrust }, { readPolicyFile, BUILT_IN_POLICY }] = await Promise.all([
      import('../../../sign/policy/describe.ts'),
      import('../../../config/policy.ts'),
    ]);
    const policy = path === undefined ? BUILT_IN_POLICY : await readPolicyFile(path);
    const rows = await describeTrust(policy, await readSignatureStorage(registriesOptions(context)));
    if (flags.bool('json')) {
      context.print(JSON.stringify(rows.map(toJson), null, 2));
      return;
    }
    const table = rows.map(({ transport, name, type, id, store }) => [transport, name, type, id, store]);
    const heading = flags.bool('noheading') ? [] : [['TRANSPORT', 'NAME', 'TYPE', 'ID', 'STORE']];
    io.stdout.write(renderTable([...heading, ...table], 2));
  },
};

type Row = Awaited<ReturnType<typeof import('../../../sign/policy/describe.ts')['describeTrust']>>[number];

/** The keys of Podman's JSON; empty ones are left out. */
function toJson({ transport, name, type, id, store }: Row): Record<string, string> {
  const shown = transport === 'all' ? '* (default)' : name;
  return {
    transport,
    ...(shown && { name: shown }),
    ...(name && { repo_name: name }),
    ...(store && { sigstore: store }),
    type,
    ...(id && { gpg_id: id }),
  };
}

const TYPES = ['accept', 'reject', 'signedBy', 'sigstoreSigned'] as const;

/** `slipway trust set` and `slipway trust-set`. */
export const set: CommandSpec = {
  name: 'set',
  summary: 'Set the rule for a registry, namespace or repository',
  description:
    'Sets what images of REGISTRY (a host, namespace or repository, or the word default) must fulfil, in policy.json. ' +
    'Where their signatures are kept goes to registries.d. Each file is replaced whole or not at all.',
  usage: '[flags] REGISTRY',
  examples: [
    'slipway trust set --type reject default',
    'slipway trust set --pubkeysfile /etc/pki/app.gpg --lookaside https://sig.example.com registry.example.com/app',
  ],
  args: { min: 1, max: 1, message: 'default or a registry name must be specified' },
  flags: [
    ...PLACES,
    {
      name: 'type',
      short: 't',
      kind: 'string',
      default: 'signedBy',
      usage: `what is demanded: ${TYPES.join(', ')}`,
    },
    {
      name: 'pubkeysfile',
      short: 'f',
      kind: 'slice',
      usage: 'trust the public key in `FILE`; each one must have signed',
    },
    { name: 'lookaside', kind: 'string', usage: 'read signatures below `URL`' },
    { name: 'lookaside-staging', kind: 'string', usage: 'write signatures below `URL`' },
    {
      name: 'use-sigstore-attachments',
      kind: 'optionalBool',
      impliedValue: 'true',
      usage: 'read and write Cosign attachments',
    },
  ],
  run: async (context) => {
    const scope = context.args[0] as string;
    const { editFile, setPolicyRule } = await import('../../../sign/policy/edit.ts');
    const storage = storageSettings(context);
    const settingsOnly =
      Object.keys(storage).length > 0 &&
      !context.flags.changed('type') &&
      !context.flags.changed('pubkeysfile');
    if (!settingsOnly) {
      const choice = await choiceOf(context);
      await editFile(await policyToEdit(context), (text) => setPolicyRule(text, scope, choice));
    }
    if (Object.keys(storage).length > 0) await editStorage(context, scope, storage);
  },
};

async function choiceOf({ flags, io }: CommandContext): Promise<TrustChoice> {
  const type = TYPES.find((known) => known === flags.string('type'));
  if (type === undefined)
    throw new UsageError(
      'bad-flag',
      `invalid choice: ${flags.string('type')} (choose from ${TYPES.map((known) => `'${known}'`).join(', ')})`,
    );
  const keyPaths = flags.list('pubkeysfile').map((path) => resolve(io.workingDirectory, path));
  if (type === 'accept' || type === 'reject') {
    if (keyPaths.length === 0) return { type };
    throw new UsageError(
      'usage',
      `${keyPaths.length} public keys unexpectedly provided for trust type ${type}`,
    );
  }
  for (const path of keyPaths) {
    try {
      await access(path);
    } catch (cause) {
      throw new UsageError('usage', `cannot read the public key ${path}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
  return { type, keyPaths };
}

function storageSettings({ flags }: CommandContext): Record<string, string | boolean> {
  const attachments = flags.optionalBool('use-sigstore-attachments');
  return {
    ...(flags.changed('lookaside') && { lookaside: flags.string('lookaside') }),
    ...(flags.changed('lookaside-staging') && { 'lookaside-staging': flags.string('lookaside-staging') }),
    ...(attachments !== undefined && { 'use-sigstore-attachments': attachments }),
  };
}

/** A namespace that a file already has is changed there, since two files must not both have it. */
async function editStorage(
  context: CommandContext,
  scope: string,
  settings: Record<string, string | boolean>,
): Promise<void> {
  const { editFile, setSignatureStorage } = await import('../../../sign/policy/edit.ts');
  const options = registriesOptions(context);
  const storage = await readSignatureStorage(options);
  const present = scope === 'default' ? storage.defaultDocker : storage.docker.get(scope);
  const name = `${scope.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^\.+/, '')}.yaml`;
  const path = present?.path ?? join(await registriesDirectory(options), name);
  await editFile(path, (text) => setSignatureStorage(text, scope, settings));
}

function registriesOptions({ flags, io }: CommandContext) {
  const directory = flags.optionalString('registrypath');
  const home = io.environment.HOME;
  return { ...(directory && { directory: resolve(io.workingDirectory, directory) }), ...(home && { home }) };
}

async function existingPolicy({ flags, io }: CommandContext): Promise<string | undefined> {
  const explicit = flags.optionalString('policypath');
  const home = io.environment.HOME;
  return explicit ? resolve(io.workingDirectory, explicit) : findPolicy(home ? { home } : {});
}

/** The file in force; where there is none, the system's for root and the user's for others. */
async function policyToEdit(context: CommandContext): Promise<string> {
  const present = await existingPolicy(context);
  if (present !== undefined) return present;
  const home = context.io.environment.HOME;
  const places = policyPaths(home ? { home } : {});
  return (process.getuid?.() === 0 ? places.at(-1) : places[0]) as string;
}
