import type { Policy, PolicyRequirement } from '../../config/policy-types.ts';
import { lookasideFor, type SignatureStorage } from '../../config/registries-d.ts';
import { SignError } from '../error.ts';
import { readKeyring } from '../simple/keyring.ts';
import { loadKeys } from './key-source.ts';

/** One row of `podman image trust show`. */
export interface TrustRow {
  readonly transport: string;
  /** Empty for a transport's own default. */
  readonly name: string;
  readonly type: string;
  /** Mail addresses of the keys, `N/A` for sigstore. */
  readonly id: string;
  /** Where signatures are looked for. */
  readonly store: string;
}

const TYPE_NAMES: Readonly<Record<PolicyRequirement['type'], string>> = {
  insecureAcceptAnything: 'accept',
  reject: 'reject',
  signedBy: 'signed',
  sigstoreSigned: 'sigstoreSigned',
  signedBaseLayer: 'signedBaseLayer',
};

/** A policy as rows: the default, then each transport and scope in order, one row for each requirement. */
export async function describeTrust(policy: Policy, storage: SignatureStorage): Promise<TrustRow[]> {
  const store = (scope: string) =>
    lookasideFor(storage, { policyIdentity: scope, policyNamespaces: wider(scope) }, 'read') ?? '';
  const rows = await rowsFor('all', 'default', policy.default, store(''));
  for (const [transport, scopes] of [...policy.transports].sort(byKey))
    for (const [scope, requirements] of [...scopes].sort(byKey)) {
      const name = transport === 'docker' ? 'repository' : transport;
      rows.push(...(await rowsFor(name, scope, requirements, store(transport === 'docker' ? scope : ''))));
    }
  return rows;
}

async function rowsFor(
  transport: string,
  name: string,
  requirements: readonly PolicyRequirement[],
  store: string,
): Promise<TrustRow[]> {
  return Promise.all(
    requirements.map(async (requirement) => ({
      transport,
      name,
      type: TYPE_NAMES[requirement.type],
      id: await keyIds(requirement),
      // Sigstore signatures are not looked for in lookaside stores.
      store: requirement.type === 'sigstoreSigned' ? '' : store,
    })),
  );
}

/** A key that cannot be read has no name here; using it is an error elsewhere. */
async function keyIds(requirement: PolicyRequirement): Promise<string> {
  if (requirement.type === 'sigstoreSigned') return 'N/A';
  if (requirement.type !== 'signedBy') return '';
  try {
    const { userIds } = readKeyring(await loadKeys(requirement.keys));
    return userIds.map((userId) => /<([^<>]*)>/.exec(userId)?.[1] ?? userId).join(', ');
  } catch (error) {
    if (error instanceof SignError) return '';
    throw error;
  }
}

function wider(scope: string): string[] {
  const namespaces: string[] = [];
  for (let slash = scope.lastIndexOf('/'); slash > 0; slash = scope.lastIndexOf('/', slash - 1))
    namespaces.push(scope.slice(0, slash));
  return namespaces;
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
